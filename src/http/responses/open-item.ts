/** What is told of an item from its beginning to its end. */
import type { ResponseEventBody } from "./events.ts";
import type { OutputItem, OutputText, TokenLogprob } from "./items.ts";
import { encodeOpaque } from "./opaque.ts";

/** An item that is being written. */
export type OpenItem =
  | { type: "message"; id: string; text: string; logprobs: TokenLogprob[] }
  | { type: "reasoning"; id: string; text: string }
  | { type: "function_call"; id: string; text: string; callId: string; name: string };

/** How reasoning is given. */
export interface ReasoningForm {
  /** As a summary instead of as content. */
  asSummary: boolean;
  /** Encoded as well. */
  encoded: boolean;
}

/** `index`: the item's place in the output. */
export function tellBegin(open: OpenItem, index: number, form: ReasoningForm): ResponseEventBody[] {
  const place = { item_id: open.id, output_index: index };
  const added: ResponseEventBody = { type: "response.output_item.added", output_index: index, item: toNewItem(open) };
  switch (open.type) {
    case "function_call":
      return [added];
    case "message":
      return [added, { type: "response.content_part.added", ...place, content_index: 0, part: toOutputText("", []) }];
    case "reasoning": {
      if (!form.asSummary) {
        const part = { type: "reasoning_text" as const, text: "" };
        return [added, { type: "response.content_part.added", ...place, content_index: 0, part }];
      }
      const part = { type: "summary_text" as const, text: "" };
      return [added, { type: "response.reasoning_summary_part.added", ...place, summary_index: 0, part }];
    }
  }
}

export function tellDelta(
  { type, id }: OpenItem,
  index: number,
  form: ReasoningForm,
  delta: string,
  logprobs: TokenLogprob[],
): ResponseEventBody {
  const place = { item_id: id, output_index: index };
  switch (type) {
    case "function_call":
      return { type: "response.function_call_arguments.delta", ...place, delta };
    case "message":
      return { type: "response.output_text.delta", ...place, content_index: 0, delta, logprobs };
    case "reasoning":
      return form.asSummary
        ? { type: "response.reasoning_summary_text.delta", ...place, summary_index: 0, delta }
        : { type: "response.reasoning_text.delta", ...place, content_index: 0, delta };
  }
}

/** `item`: what has come of it. */
export function tellEnd(open: OpenItem, item: OutputItem, index: number, form: ReasoningForm): ResponseEventBody[] {
  const { text } = open;
  const place = { item_id: open.id, output_index: index };
  const done: ResponseEventBody = { type: "response.output_item.done", output_index: index, item };
  switch (open.type) {
    case "function_call":
      return [{ type: "response.function_call_arguments.done", ...place, name: open.name, arguments: text }, done];
    case "message": {
      const part = toOutputText(text, open.logprobs);
      return [
        { type: "response.output_text.done", ...place, content_index: 0, text, logprobs: open.logprobs },
        { type: "response.content_part.done", ...place, content_index: 0, part },
        done,
      ];
    }
    case "reasoning": {
      if (!form.asSummary) {
        const part = { type: "reasoning_text" as const, text };
        return [
          { type: "response.reasoning_text.done", ...place, content_index: 0, text },
          { type: "response.content_part.done", ...place, content_index: 0, part },
          done,
        ];
      }
      const part = { type: "summary_text" as const, text };
      return [
        { type: "response.reasoning_summary_text.done", ...place, summary_index: 0, text },
        { type: "response.reasoning_summary_part.done", ...place, summary_index: 0, part },
        done,
      ];
    }
  }
}

export function toItem(open: OpenItem, status: OutputItem["status"], form: ReasoningForm): OutputItem {
  const { id, text } = open;
  switch (open.type) {
    case "message":
      return { id, type: open.type, status, role: "assistant", content: [toOutputText(text, open.logprobs)] };
    case "function_call":
      return { id, type: open.type, status, call_id: open.callId, name: open.name, arguments: text };
    case "reasoning":
      return {
        id,
        type: open.type,
        status,
        summary: form.asSummary ? [{ type: "summary_text", text }] : [],
        ...(!form.asSummary && { content: [{ type: "reasoning_text" as const, text }] }),
        ...(form.encoded && { encrypted_content: encodeOpaque(text) }),
      };
  }
}

/** As it is told of first: without what is still to come. */
function toNewItem(open: OpenItem): OutputItem {
  const { id } = open;
  const status = "in_progress";
  switch (open.type) {
    case "message":
      return { id, type: open.type, status, role: "assistant", content: [] };
    case "function_call":
      return { id, type: open.type, status, call_id: open.callId, name: open.name, arguments: "" };
    case "reasoning":
      return { id, type: open.type, status, summary: [] };
  }
}

function toOutputText(text: string, logprobs: TokenLogprob[]): OutputText {
  return { type: "output_text", text, annotations: [], logprobs };
}

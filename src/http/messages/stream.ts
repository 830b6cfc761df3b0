import type { ChatEvent } from "../../chat/events.ts";
import { readChat } from "../chat-events.ts";
import { createToolUseId, toStop } from "./answer.ts";
import { JsonPrefix } from "./json-prefix.ts";
import type { ContentBlock, MessageStreamEvent } from "./model.ts";
import { countMessageUsage, type MessageJob } from "./service.ts";
import { signThinking, type ThinkingView } from "./thinking.ts";

export function frameEvent(event: MessageStreamEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

/** The answer as framed server-sent events. */
export async function* streamMessage(job: MessageJob): AsyncGenerator<string> {
  const { id, model, thinking } = job;
  const writer = new BlockWriter(thinking);
  const none = { content: [], stop_reason: null, stop_sequence: null };
  const message = { id, type: "message" as const, role: "assistant" as const, model, ...none, usage: countMessageUsage(job) };
  yield frameEvent({ type: "message_start", message });
  for await (const [, piece] of readChat(job)) {
    let frames = piece.events.map((event) => writer.write(event)).join("");
    const stop = toStop(job, piece);
    if (stop !== null) {
      frames += writer.end();
      frames += frameEvent({ type: "message_delta", delta: stop, usage: countMessageUsage(job) });
      frames += frameEvent({ type: "message_stop" });
    }
    if (frames !== "") yield frames;
  }
}

/** Sets blocks apart: one at a time is open. Of a call that was no JSON object, what began as one stays. */
class BlockWriter {
  readonly #view: ThinkingView;
  #index = -1;
  #open: ContentBlock["type"] | null = null;
  /** Of the open block. */
  #thinking = "";
  #arguments = new JsonPrefix();

  constructor(view: ThinkingView) {
    this.#view = view;
  }

  write(event: ChatEvent): string {
    switch (event.type) {
      case "content":
        return this.#enter({ type: "text", text: "" }) + this.#delta({ type: "text_delta", text: event.text });
      case "reasoning":
        return this.#think(event.text);
      case "tool_call_start":
        this.#arguments = new JsonPrefix();
        return this.#start({ type: "tool_use", id: createToolUseId(), name: event.name, input: {} });
      case "tool_call_arguments": {
        const json = this.#arguments.push(event.text);
        return json === "" ? "" : this.#delta({ type: "input_json_delta", partial_json: json });
      }
      case "tool_call_end":
        return this.end();
    }
  }

  /** Closes the open block. */
  end(): string {
    if (this.#open === null) return "";
    const signature =
      this.#open === "thinking"
        ? { type: "signature_delta" as const, signature: signThinking(this.#thinking, this.#view) }
        : null;
    this.#open = null;
    return (signature ? this.#delta(signature) : "") + frameEvent({ type: "content_block_stop", index: this.#index });
  }

  #think(text: string): string {
    if (this.#view === "hidden") return "";
    let frames = "";
    if (this.#open !== "thinking") {
      this.#thinking = "";
      frames = this.#start({ type: "thinking", thinking: "", signature: "" });
    }
    this.#thinking += text;
    return this.#view === "omitted" ? frames : frames + this.#delta({ type: "thinking_delta", thinking: text });
  }

  /** Goes on in the open block if it is of this type. */
  #enter(block: ContentBlock): string {
    return this.#open === block.type ? "" : this.#start(block);
  }

  #start(block: ContentBlock): string {
    const frames = this.end();
    this.#open = block.type;
    return frames + frameEvent({ type: "content_block_start", index: ++this.#index, content_block: block });
  }

  #delta(delta: Extract<MessageStreamEvent, { type: "content_block_delta" }>["delta"]): string {
    return frameEvent({ type: "content_block_delta", index: this.#index, delta });
  }
}

import type { ChatEvent } from "../../chat/events.ts";
import { type ChatPiece, readChat } from "../chat-events.ts";
import { cancelJob } from "../job.ts";
import type { AnswerMessage, ContentBlock, Stop } from "./model.ts";
import { countMessageUsage, type MessageJob } from "./service.ts";
import { signThinking, type ThinkingView } from "./thinking.ts";

const callIdLength = 24;

/** A fresh id for every call: families of models have ids of other kinds, and some use one twice in a conversation. */
export function createToolUseId(): string {
  return `toolu_${crypto.randomUUID().replaceAll("-", "").slice(0, callIdLength)}`;
}

/** The whole answer at once. */
export async function completeMessage(job: MessageJob): Promise<AnswerMessage> {
  const answer = new Answer(job.thinking);
  let stop: Stop | null = null;
  try {
    for await (const [, piece] of readChat(job)) {
      for (const event of piece.events) answer.add(event);
      stop = toStop(job, piece) ?? stop;
    }
  } catch (error) {
    cancelJob(job);
    throw error;
  }
  if (stop === null) throw new RangeError("the generation has no end");
  return {
    id: job.id,
    type: "message",
    role: "assistant",
    model: job.model,
    content: answer.end(),
    ...stop,
    usage: countMessageUsage(job),
  };
}

/** Why an answer has ended; null: it goes on. */
export function toStop(
  job: MessageJob,
  { finishReason, stopString }: Pick<ChatPiece, "finishReason" | "stopString">,
): Stop | null {
  switch (finishReason) {
    case null:
      return null;
    case "tool_calls":
      return { stop_reason: "tool_use", stop_sequence: null };
    case "stop":
      return { stop_reason: stopString === null ? "end_turn" : "stop_sequence", stop_sequence: stopString };
    case "length": {
      const isFull = countMessageUsage(job).output_tokens >= job.maxTokens;
      return { stop_reason: isFull ? "max_tokens" : "model_context_window_exceeded", stop_sequence: null };
    }
  }
}

/** Blocks in the order in which the model wrote them. Calls that were no JSON objects are text. */
class Answer {
  readonly #view: ThinkingView;
  readonly #blocks: ContentBlock[] = [];
  #arguments = "";

  constructor(view: ThinkingView) {
    this.#view = view;
  }

  add(event: ChatEvent): void {
    const last = this.#blocks.at(-1);
    switch (event.type) {
      case "content":
        this.#addText(event.text);
        return;
      case "reasoning":
        if (this.#view === "hidden") return;
        if (last?.type === "thinking") last.thinking += event.text;
        else this.#blocks.push({ type: "thinking", thinking: event.text, signature: "" });
        return;
      case "tool_call_start":
        this.#arguments = "";
        this.#blocks.push({ type: "tool_use", id: createToolUseId(), name: event.name, input: {} });
        return;
      case "tool_call_arguments":
        this.#arguments += event.text;
        return;
      case "tool_call_end":
        if (event.malformed !== null) {
          this.#blocks.pop();
          this.#addText(event.malformed);
        } else if (last?.type === "tool_use") last.input = JSON.parse(this.#arguments) as Record<string, unknown>;
    }
  }

  end(): ContentBlock[] {
    return this.#blocks.map((block) => {
      if (block.type !== "thinking") return block;
      const signature = signThinking(block.thinking, this.#view);
      return { ...block, thinking: this.#view === "omitted" ? "" : block.thinking, signature };
    });
  }

  #addText(text: string): void {
    const last = this.#blocks.at(-1);
    if (last?.type === "text") last.text += text;
    else this.#blocks.push({ type: "text", text });
  }
}

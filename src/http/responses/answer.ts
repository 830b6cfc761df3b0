import type { AnswerEvent } from "../chat-events.ts";
import type { ResponseEventBody } from "./events.ts";
import { createItemId, type OutputItem, type TokenLogprob } from "./items.ts";
import { type OpenItem, type ReasoningForm, tellBegin, tellDelta, tellEnd, toItem } from "./open-item.ts";

type Status = OutputItem["status"];

export interface AnswerOptions {
  reasoning: ReasoningForm;
  showTokens(tokens: Extract<AnswerEvent, { type: "content" }>["tokens"]): TokenLogprob[];
}

/** Makes items of an answer, and the events that tell of them. */
export class Answer {
  /** Those that are done; a call that was none is not among them. */
  readonly items: OutputItem[] = [];
  readonly #options: AnswerOptions;
  #events: ResponseEventBody[] = [];
  #open: OpenItem | null = null;
  /** The text of an open call that went wrong: what follows shows whether it was only cut off. */
  #malformed: string | null = null;
  /** Items that were begun, those left out included. */
  #begun = 0;

  constructor(options: AnswerOptions) {
    this.#options = options;
  }

  /** Events since the last call. */
  take(): ResponseEventBody[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  write(event: AnswerEvent): void {
    this.#giveUpCall();
    switch (event.type) {
      case "content":
        this.#writeText(event.text, this.#options.showTokens(event.tokens));
        break;
      case "reasoning":
        if (this.#open?.type !== "reasoning") this.#begin({ type: "reasoning", id: createItemId("reasoning"), text: "" });
        this.#add(event.text, []);
        break;
      case "tool_call_start":
        this.#begin({
          type: "function_call",
          id: createItemId("function_call"),
          text: "",
          callId: event.id,
          name: event.name,
        });
        break;
      case "tool_call_arguments":
        this.#add(event.text, []);
        break;
      case "tool_call_end":
        this.#malformed = event.malformed;
        if (event.malformed === null) this.#close("completed");
    }
  }

  /** `isCut`: the output has ended before it was complete, and the item that it was at with it. */
  end(isCut: boolean): void {
    if (isCut) this.#malformed = null;
    this.#giveUpCall();
    // Reasoning alone is no answer, unless that is where it was cut.
    const isEmpty = !isCut && !this.items.some(({ type }) => type !== "reasoning") && this.#open?.type !== "message";
    if (this.#begun === 0 || isEmpty) this.#writeText("", []);
    this.#close(isCut ? "incomplete" : "completed");
  }

  /** A call that went wrong was text. */
  #giveUpCall(): void {
    const text = this.#malformed;
    this.#malformed = null;
    if (text === null || this.#open?.type !== "function_call") return;
    this.#close("incomplete");
    this.items.pop();
    this.#writeText(text, []);
  }

  #writeText(text: string, logprobs: TokenLogprob[]): void {
    if (this.#open?.type !== "message") this.#begin({ type: "message", id: createItemId("message"), text: "", logprobs: [] });
    if (text !== "") this.#add(text, logprobs);
  }

  #begin(item: OpenItem): void {
    this.#close("completed");
    this.#open = item;
    this.#events.push(...tellBegin(item, this.#begun++, this.#options.reasoning));
  }

  #add(text: string, logprobs: TokenLogprob[]): void {
    if (!this.#open) return;
    this.#open.text += text;
    if (this.#open.type === "message") this.#open.logprobs.push(...logprobs);
    this.#events.push(tellDelta(this.#open, this.#begun - 1, this.#options.reasoning, text, logprobs));
  }

  #close(status: Status): void {
    if (!this.#open) return;
    const item = toItem(this.#open, status, this.#options.reasoning);
    this.#events.push(...tellEnd(this.#open, item, this.#begun - 1, this.#options.reasoning));
    this.items.push(item);
    this.#open = null;
  }
}

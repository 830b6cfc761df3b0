import type { ChatEvent } from "./events.ts";

const callIdLength = 24;

/** A fresh id as OpenAI writes them. */
export function createCallId(): string {
  return `call_${crypto.randomUUID().replaceAll("-", "").slice(0, callIdLength)}`;
}

export interface WriterOptions {
  /** Whether white space before and after calls is dropped; it has to wait for what comes after it. */
  trimsContent: boolean;
  createId: () => string;
}

/** Collects the events of a parser: merges neighbours, counts the calls, and trims white space that only sets blocks apart. */
export class Writer {
  /** Whether reasoning is being read. */
  inReasoning = false;
  readonly #options: WriterOptions;
  #events: ChatEvent[] = [];
  /** White space that goes out with what follows, or never. */
  #held = "";
  #hasContent = false;
  /** A block came since the last content. */
  #afterBlock = false;
  /** No reasoning yet in this block. */
  #blockBegins = false;
  /** Put before the first text of a block. */
  #separator = "";
  #callCount = 0;
  #open = false;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** What has come since the last time. */
  take(): ChatEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Nothing but white space since the beginning or the last block: a block may begin here. */
  get isBlank(): boolean {
    return this.#afterBlock || !this.#hasContent;
  }

  /** Nothing but white space since the last block. */
  get isAfterBlock(): boolean {
    return this.#afterBlock;
  }

  /** A call that was announced and has not ended. */
  get isCallOpen(): boolean {
    return this.#open;
  }

  content(text: string): void {
    const waitsForNothing = this.#hasContent && !this.#afterBlock && !this.#options.trimsContent;
    if (waitsForNothing) this.#add("content", text);
    if (waitsForNothing || this.#hold(text)) return;
    const all = this.#held + text;
    const certain = all.trimEnd();
    const begins = !this.#hasContent && this.#afterBlock;
    const keep = this.#options.trimsContent ? certain.length : all.length;
    this.#add("content", begins ? all.slice(0, keep).trimStart() : all.slice(0, keep));
    this.#held = all.slice(keep);
    this.#hasContent = true;
    this.#afterBlock = false;
  }

  /** White space at both ends of a block of reasoning belongs to its marks. */
  reasoning(text: string): void {
    if (this.#hold(text)) return;
    const all = this.#held + text;
    const certain = all.trimEnd();
    this.#add("reasoning", this.#blockBegins ? this.#separator + certain.trimStart() : certain);
    this.#blockBegins = false;
    this.#separator = "\n";
    this.#held = all.slice(certain.length);
  }

  /** More content is set apart from what there is. */
  separate(): void {
    if (this.#hasContent) this.#held = "\n\n";
  }

  beginReasoning(): void {
    this.inReasoning = true;
    this.#blockBegins = true;
    this.#held = "";
  }

  endReasoning(): void {
    this.inReasoning = false;
    this.#held = "";
    this.#afterBlock = true;
  }

  /** Announces a call. `id`: the model's own, where the family has one. */
  startCall(name: string, id: string = this.#options.createId()): void {
    this.#held = "";
    this.#afterBlock = true;
    this.#open = true;
    this.#events.push({ type: "tool_call_start", index: this.#callCount, id, name });
  }

  /** The next part of the open call's arguments. */
  arguments(text: string): void {
    if (text === "") return;
    const last = this.#events.at(-1);
    if (last?.type === "tool_call_arguments") last.text += text;
    else this.#events.push({ type: "tool_call_arguments", index: this.#callCount, text });
  }

  endCall(malformed: string | null = null): void {
    this.#open = false;
    this.#events.push({ type: "tool_call_end", index: this.#callCount++, malformed });
  }

  /** White space at the end of an answer stays unless it comes after a block. */
  end(): void {
    if (!this.#afterBlock && !this.inReasoning) this.#add("content", this.#held);
    this.#held = "";
  }

  #hold(text: string): boolean {
    if (text.trim() !== "") return false;
    this.#held += text;
    return true;
  }

  #add(type: "content" | "reasoning", text: string): void {
    if (text === "") return;
    const last = this.#events.at(-1);
    if (last?.type === type) last.text += text;
    else this.#events.push({ type, text });
  }
}

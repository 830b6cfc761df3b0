/** From a request's tokens to the pieces that its reader gets: text, stop strings, a queue that merges while nobody reads. */
import type { ServeError } from "../errors.ts";
import { Detokenizer } from "../text/detokenizer.ts";
import { StopMatcher, type StopResult } from "../text/stop-strings.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { FinishReason, GeneratedToken, GenerationChunk } from "./request.ts";

export class Output {
  readonly #detokenizer: Detokenizer;
  readonly #stops: StopMatcher;
  #text = "";
  #tokens: GeneratedToken[] = [];
  #finishReason: FinishReason | null = null;
  #stopString: string | undefined;
  #error: ServeError | null = null;
  #wake: (() => void) | null = null;

  /** `shownTokens`: special tokens that are part of the text, as they stand in the vocabulary. */
  constructor(tokenizer: Tokenizer, stops: readonly string[], shownTokens: readonly string[] = []) {
    const shownIds = new Set(shownTokens.flatMap((token) => tokenizer.tokenId(token) ?? []));
    this.#detokenizer = new Detokenizer(tokenizer, { shownIds });
    this.#stops = new StopMatcher(stops);
  }

  /** Adds a token; true when its text completes a stop string. `hidden`: an end token, which shows no text. */
  push(token: GeneratedToken, { hidden, stoppable }: { hidden: boolean; stoppable: boolean }): boolean {
    const piece = hidden ? "" : this.#detokenizer.push(token.id);
    const { text, stopped, stop }: StopResult = stoppable && !hidden ? this.#stops.push(piece) : { text: piece, stopped: false };
    this.#stopString = stop;
    this.#tokens.push({ ...token, text });
    this.#text += text;
    return this.#wakeReader(stopped);
  }

  /** Ends the output. Text held back comes out unless a stop string has ended it. */
  finish(reason: FinishReason, stopped: boolean): void {
    if (this.#finishReason !== null || this.#error !== null) return;
    if (!stopped) {
      const last = this.#stops.push(this.#detokenizer.flush());
      this.#text += last.text + (last.stopped ? "" : this.#stops.flush());
      if (last.stopped) this.#finishReason = "stop";
      this.#stopString = last.stop;
    }
    this.#finishReason ??= reason;
    this.#wakeReader(true);
  }

  fail(error: ServeError): void {
    if (this.#finishReason !== null) return;
    this.#error ??= error;
    this.#wakeReader(true);
  }

  /** What has come since the last call; waits for something. Null after the last chunk. Throws the error that ended it. */
  async next(): Promise<GenerationChunk | null> {
    while (this.#text === "" && this.#tokens.length === 0 && this.#finishReason === null) {
      if (this.#error) throw this.#error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const chunk: GenerationChunk = { text: this.#text, tokens: this.#tokens, finishReason: this.#finishReason };
    if (this.#finishReason !== null && this.#stopString !== undefined) chunk.stopString = this.#stopString;
    this.#text = "";
    this.#tokens = [];
    return chunk;
  }

  #wakeReader(result: boolean): boolean {
    this.#wake?.();
    this.#wake = null;
    return result;
  }
}

import type { AllowedTokens, TokenMatcher } from "./contract.ts";
import type { Host, HostedMatcher } from "./worker/host.ts";
import { MAY_END, MUST_END, maskWords } from "./worker/messages.ts";

/** A grammar wherever it is compiled. */
export interface HostedGrammar {
  /** The worker that has it and its number there; compiles it anew when that worker is gone. */
  host(): Promise<{ host: Host; grammar: number }>;
  readonly vocabularySize: number;
}

/** How many workers may end under a matcher that waits before it is taken to be the cause. */
const MOST_LOSSES = 2;

let lastNumber = 0;

/** Follows an output by way of a worker. When that ends, the tokens so far are given to another. */
export class RemoteMatcher implements TokenMatcher, HostedMatcher {
  readonly #grammar: HostedGrammar;
  readonly #number = ++lastNumber;
  readonly #mask: Int32Array;
  readonly #tokens: number[] = [];
  #host: Host | null = null;
  #waiting: { resolve(allowed: AllowedTokens): void; reject(error: Error): void } | null = null;
  #losses = 0;
  #ended: Error | null = null;

  constructor(grammar: HostedGrammar) {
    this.#grammar = grammar;
    this.#mask = new Int32Array(new SharedArrayBuffer(4 * maskWords(grammar.vocabularySize)));
  }

  next(token: number | null): Promise<AllowedTokens> {
    if (token !== null) this.#tokens.push(token);
    return new Promise((resolve, reject) => {
      if (this.#ended) return reject(this.#ended);
      this.#waiting = { resolve, reject };
      if (this.#host && token !== null) this.#host.step(this.#number, token);
      else void this.#open();
    });
  }

  dispose(): void {
    this.#end(new Error("the matcher was disposed of"));
  }

  stepped(state: number): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#losses = 0;
    waiting?.resolve({ mask: this.#mask, mayEnd: (state & MAY_END) !== 0, mustEnd: (state & MUST_END) !== 0 });
  }

  failed(reason: string): void {
    this.#host = null;
    this.#end(new Error(reason));
  }

  lost(reason: "late" | "lost"): void {
    this.#host = null;
    if (!this.#waiting) return;
    if (reason === "lost" && ++this.#losses > MOST_LOSSES) this.#end(new Error("the threads that computed its masks have ended"));
    else void this.#open();
  }

  async #open(): Promise<void> {
    try {
      const { host, grammar } = await this.#grammar.host();
      // Meanwhile it may have been disposed of.
      if (this.#ended) return;
      this.#host = host;
      host.open(this.#number, grammar, this.#tokens, this.#mask.buffer as SharedArrayBuffer, this);
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #end(reason: Error): void {
    this.#ended ??= reason;
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.reject(reason);
    this.#host?.close(this.#number);
    this.#host = null;
  }
}

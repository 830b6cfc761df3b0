/** A grammar's hold on one sequence: asks its matcher for the next mask as soon as a token is known. */
import type { AllowedTokens, TokenMatcher } from "../grammar/contract.ts";

export class Constraint {
  readonly #matcher: TokenMatcher;
  #allowed: AllowedTokens | null = null;
  #failure: { cause: unknown } | null = null;
  /** Settles, never rejecting, when `ready` turns true. */
  #settled: Promise<void>;

  constructor(matcher: TokenMatcher) {
    this.#matcher = matcher;
    this.#settled = this.#ask(null);
  }

  /** To be called with each token in turn, once the mask that it was drawn with has been used. */
  accept(token: number): void {
    this.#settled = this.#ask(token);
  }

  /** Whether it is known what the next token may be, or that it never will be. */
  get ready(): boolean {
    return this.#allowed !== null || this.#failure !== null;
  }

  get settled(): Promise<void> {
    return this.#settled;
  }

  /** What the next token may be; null while it is not known. */
  get allowed(): AllowedTokens | null {
    return this.#allowed;
  }

  /** Why the matcher can say no more. */
  get failure(): { cause: unknown } | null {
    return this.#failure;
  }

  dispose(): void {
    this.#matcher.dispose();
  }

  async #ask(token: number | null): Promise<void> {
    this.#allowed = null;
    try {
      this.#allowed = await this.#matcher.next(token);
    } catch (cause) {
      this.#failure = { cause };
    }
  }
}

/** The bits of the tokens that may be drawn: end tokens are among them exactly when the output may end. Null: all tokens. */
export function drawableTokens(
  { mask, mayEnd }: AllowedTokens,
  endTokenIds: Iterable<number>,
  vocabSize: number,
): Int32Array | null {
  if (mask === null && mayEnd) return null;
  const words = new Int32Array(Math.ceil(vocabSize / 32));
  if (mask === null) words.fill(-1);
  else words.set(mask.subarray(0, words.length));
  for (const id of endTokenIds) {
    if (id < 0 || id >= vocabSize) continue;
    const bit = 1 << (id & 31);
    if (mayEnd) words[id >> 5]! |= bit;
    else if (mask === null) words[id >> 5]! &= ~bit;
  }
  return words;
}

import type { GeneratedToken } from "../engine/request.ts";

/** Finds the tokens that content is made of among those of marks, reasoning and calls. */
export class ContentTokens {
  /** Tokens of which nothing has come out yet. */
  #waiting: GeneratedToken[] = [];

  push(token: GeneratedToken): void {
    this.#waiting.push(token);
  }

  /** Something other than content has come out. */
  clear(): void {
    this.#waiting = [];
  }

  /** The tokens of content of this length that has come out: what held it back, such as a mark, stands before them. */
  take(length: number): GeneratedToken[] {
    const tokens = this.#waiting;
    this.#waiting = [];
    let covered = 0;
    let first = tokens.length;
    for (; first > 0; first--) {
      const size = tokens[first - 1]?.text?.length;
      // Where the pieces of the text are not told apart, neither are the tokens.
      if (size === undefined) return tokens;
      // Tokens without a text are the beginning of a character that the next one ends.
      if (covered >= length && size > 0) break;
      covered += size;
    }
    return tokens.slice(first);
  }
}

/** One output that is held to a grammar, in the worker. */

import { MAY_END, MUST_END } from "./messages.ts";
import { incompleteEnd, LOOKAHEAD, roomLeft, StringPosition } from "./text-limit.ts";
import type { TokenTable } from "./token-table.ts";
import type { Matcher } from "./xgrammar.ts";

/** A grammar that knows the lengths, for texts near a limit. */
export interface Limit {
  exact: Matcher;
  /** The least of the limits. */
  shortest: number;
  /** Whether the whole output is JSON, so that one knows where its strings begin. */
  isJson: boolean;
}

const QUOTE = 0x22;
/** Bytes that are looked at for what is incomplete: more than backslashes come in a row by chance. */
const TAIL = 256;

export class Matching {
  readonly #masking: Matcher;
  readonly #limit: Limit | null;
  readonly #tokens: TokenTable;
  readonly #mask: Int32Array;
  /** Of an output that is JSON. */
  readonly #position = new StringPosition();
  /** How long the string may get that one is in, when that is known. */
  #mostInString: number | null = null;
  /** The last bytes of one that is not. */
  #tail: Uint8Array = new Uint8Array();

  constructor(masking: Matcher, limit: Limit | null, tokens: TokenTable, mask: Int32Array) {
    this.#masking = masking;
    this.#limit = limit;
    this.#tokens = tokens;
    this.#mask = mask;
  }

  /** Throws when the token is none that was allowed. */
  accept(token: number): void {
    const bytes = this.#tokens.bytes(token);
    const accepted = this.#masking.accept(token) && (this.#limit === null || this.#limit.exact.acceptBytes(bytes));
    if (!accepted) throw new Error(`token ${token} was not allowed`);
    if (this.#limit?.isJson) {
      if (bytes.includes(QUOTE)) this.#mostInString = null;
      this.#position.push(bytes);
    }
    if (this.#limit && !this.#limit.isJson) this.#tail = Uint8Array.from([...this.#tail, ...bytes].slice(-TAIL));
  }

  /** Writes the mask; returns the bits of the state. Throws when nothing can follow. */
  async next(): Promise<number> {
    const words = await this.#masking.mask();
    const { size } = this.#tokens;
    const end = 1 << (size & 31);
    const mayEnd = (words[size >> 5]! & end) !== 0;
    words[size >> 5]! &= ~end;
    if (this.#limit) this.#shorten(words, this.#limit);
    const isDead = words.every((word) => word === 0);
    if (isDead && !mayEnd) throw new Error("no token of the vocabulary can go on");
    this.#mask.set(words);
    return (mayEnd ? MAY_END : 0) | (isDead ? MUST_END : 0);
  }

  dispose(): void {
    this.#masking.dispose();
    this.#limit?.exact.dispose();
  }

  /** Takes out the tokens that would make a string too long. */
  #shorten(words: Int32Array, { exact, shortest, isJson }: Limit): void {
    this.#tokens.dropLongOpenings(words);
    const position = isJson ? this.#position : StringPosition.inside(incompleteEnd(this.#tail));
    if (isJson && (!position.inString || position.count + LOOKAHEAD <= shortest)) return;
    const known = this.#mostInString;
    const room = known === null ? roomLeft(position, this.#masking, exact) : known - position.count;
    if (room === null) return;
    this.#tokens.keepWithin(words, position, room);
    if (isJson) this.#mostInString = position.count + room;
  }
}

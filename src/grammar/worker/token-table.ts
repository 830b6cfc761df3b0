/** The tokens of the vocabulary, and how many characters of a string they have. */
import { COUNTED_LENGTH } from "../schema/json-text.ts";
import type { PackedVocabulary } from "../vocabulary.ts";
import { charactersAdded, LOOKAHEAD, StringPosition } from "./text-limit.ts";

export class TokenTable {
  readonly size: number;
  readonly #bytes: Uint8Array;
  readonly #ends: Uint32Array;
  /** Characters before a quote, when it comes in a string; made when first needed. */
  #lengths: Uint8Array | null = null;
  /** Tokens that open a string and put more into it than any limit allows, or have more characters than are foreseen. */
  #longOpenings: number[] | null = null;

  constructor({ size, bytes, ends }: PackedVocabulary) {
    this.size = size;
    this.#bytes = new Uint8Array(bytes);
    this.#ends = new Uint32Array(ends);
  }

  bytes(id: number): Uint8Array {
    return this.#bytes.subarray(id === 0 ? 0 : this.#ends[id - 1]!, this.#ends[id]!);
  }

  /** As GPT-2's vocabulary spells bytes. */
  spellings(): string[] {
    const characters = spellingOfBytes();
    return Array.from({ length: this.size }, (_, id) => Array.from(this.bytes(id), (byte) => characters[byte]).join(""));
  }

  dropLongOpenings(words: Int32Array): void {
    this.#longOpenings ??= this.#findLongOpenings();
    for (const id of this.#longOpenings) words[id >> 5]! &= ~(1 << (id & 31));
  }

  /** Keeps the tokens that add no more than `room` characters to the string at the position. */
  keepWithin(words: Int32Array, position: StringPosition, room: number): void {
    const lengths = position.completion.length === 0 ? this.#ordinaryLengths() : null;
    for (let id = 0; id < this.size; id++) {
      if (((words[id >> 5]! >>> (id & 31)) & 1) === 0) continue;
      const added = lengths ? lengths[id]! : charactersAdded(position, this.bytes(id));
      if (added > room) words[id >> 5]! &= ~(1 << (id & 31));
    }
  }

  #ordinaryLengths(): Uint8Array {
    if (this.#lengths) return this.#lengths;
    const inside = new StringPosition();
    inside.push(Uint8Array.of(0x22));
    this.#lengths = Uint8Array.from({ length: this.size }, (_, id) => Math.min(255, charactersAdded(inside, this.bytes(id))));
    return this.#lengths;
  }

  #findLongOpenings(): number[] {
    return Array.from({ length: this.size }, (_, id) => id).filter((id) => {
      const bytes = this.bytes(id);
      if (bytes.length > LOOKAHEAD) return true;
      // Each quote may open a string.
      const [, ...strings] = Buffer.from(bytes).toString("latin1").split('"');
      return strings.some((content) => content.length > COUNTED_LENGTH);
    });
  }
}

/** Printable characters of Latin-1 stand for themselves, other bytes for U+0100 and up, in order. */
function spellingOfBytes(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrintable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(isPrintable ? byte : next++);
  });
}

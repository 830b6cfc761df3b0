/** A tokenizer's tokens as the workers share them. */
import { InvalidRequest } from "../errors.ts";
import { macrotask } from "../macrotask.ts";
import { MOST_SPECIALS } from "./automata/char-set.ts";
import { specialBytes } from "./automata/utf8.ts";

export interface Vocabulary {
  /** Token ids are below. */
  size: number;
  /** What a token adds to a text; none for an id without a token. */
  bytes(id: number): Uint8Array;
  /** Whether a token is left out of texts. */
  isSpecial(id: number): boolean;
  /** Tokens that end outputs: grammars never speak of them. */
  endTokenIds: readonly number[];
}

/** Tokens that no grammar allows have no bytes; special ones are written as no text is (`specialBytes`). */
export interface PackedVocabulary {
  size: number;
  bytes: SharedArrayBuffer;
  /** uint32: where in `bytes` each token ends. */
  ends: SharedArrayBuffer;
  /** Texts of the special tokens, by number. */
  specials: string[];
}

/** Work on the event loop at a time. */
const MOST_MS = 3;
const CHECK_EVERY = 256;

/** Takes its time, so that the event loop stays free. Throws `InvalidRequest` for tokens that cannot spell JSON. */
export async function packVocabulary({ size, bytes, isSpecial, endTokenIds }: Vocabulary): Promise<PackedVocabulary> {
  const ends = new Uint32Array(new SharedArrayBuffer(4 * size));
  const specials: string[] = [];
  const chunks: Uint8Array[] = [];
  const left = new Set(endTokenIds);
  let total = 0;
  let begun = performance.now();
  for (let id = 0; id < size; id++) {
    const own = left.has(id) ? new Uint8Array() : bytes(id);
    const packed = isSpecial(id) ? packSpecial(own, specials) : hasStrayByte(own) ? new Uint8Array() : own;
    chunks.push(packed);
    total += packed.length;
    ends[id] = total;
    if (id % CHECK_EVERY > 0 || performance.now() - begun < MOST_MS) continue;
    await macrotask();
    begun = performance.now();
  }
  const canSpell = (char: string) => chunks.some((chunk) => chunk.length === 1 && chunk[0] === char.charCodeAt(0));
  if (!canSpell("{") || !canSpell('"')) {
    throw new InvalidRequest(
      "The output of this model cannot be held to a grammar: its tokens do not stand for texts that follow each other.",
    );
  }
  const all = new Uint8Array(new SharedArrayBuffer(total));
  chunks.forEach((chunk, id) => {
    all.set(chunk, ends[id]! - chunk.length);
  });
  return { size, bytes: all.buffer as SharedArrayBuffer, ends: ends.buffer as SharedArrayBuffer, specials };
}

function packSpecial(text: Uint8Array, specials: string[]): Uint8Array {
  if (text.length === 0 || specials.length >= MOST_SPECIALS) return new Uint8Array();
  specials.push(new TextDecoder().decode(text));
  return Uint8Array.from(specialBytes(specials.length - 1));
}

/** Bytes that UTF-8 does not have. */
function hasStrayByte(bytes: Uint8Array): boolean {
  return bytes.some((byte) => byte === 0xc0 || byte === 0xc1 || byte > 0xf4);
}

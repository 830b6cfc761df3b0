/**
 * Lengths of strings that the masking grammar leaves out. Far from a limit its masks are exact; near one, the exact grammar,
 * which has no masks, is asked how many characters there is room for, and longer tokens are taken out of the mask.
 */
import type { Matcher } from "./xgrammar.ts";

/** The most characters of one token that are foreseen. */
export const LOOKAHEAD = 48;

/** Where one is in JSON text, by its bytes. */
export class StringPosition {
  inString = false;
  /** Characters of the string so far, one that is not complete included. */
  count = 0;
  /** Bytes that complete the character or escape that is not complete. */
  #completion: readonly number[] = [];
  #escape = 0;

  get completion(): readonly number[] {
    return this.#completion;
  }

  push(bytes: Uint8Array): void {
    for (const byte of bytes) this.pushByte(byte);
  }

  /** Within a string, behind these bytes. */
  static inside(bytes: Uint8Array): StringPosition {
    const position = new StringPosition();
    position.inString = true;
    position.push(bytes);
    return position;
  }

  clone(): StringPosition {
    const copy = new StringPosition();
    copy.inString = this.inString;
    copy.count = this.count;
    copy.#completion = this.#completion;
    copy.#escape = this.#escape;
    return copy;
  }

  pushByte(byte: number): void {
    if (!this.inString) {
      if (byte === QUOTE) {
        this.inString = true;
        this.count = 0;
      }
    } else if (this.#escape > 0) this.#escaped(byte);
    else if (this.#completion.length > 0) this.#completion = this.#completion.slice(1);
    else if (byte === QUOTE) this.inString = false;
    else {
      this.count++;
      if (byte === BACKSLASH) {
        this.#escape = 1;
        this.#completion = [LETTER_N];
      } else this.#completion = continuation(byte);
    }
  }

  /** After a backslash, `#escape` bytes before. */
  #escaped(byte: number): void {
    if (this.#escape === 1 && byte !== LETTER_U) this.#escape = 0;
    else this.#escape = this.#escape === 5 ? 0 : this.#escape + 1;
    this.#completion = this.#escape === 0 ? [] : Array<number>(6 - this.#escape).fill(ZERO);
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ZERO = 0x30;
const LETTER_N = 0x6e;
const LETTER_U = 0x75;
/** U+0378, which is no character yet: strings of any content have it, those of patterns hardly ever. */
const FILLER = [0xcd, 0xb8];
const NOTHING: readonly number[] = [];

/** Bytes that may follow the first one of a character. */
function continuation(lead: number): readonly number[] {
  if (lead < 0xc0) return NOTHING;
  if (lead < 0xe0) return [0x80];
  if (lead < 0xf0) return [lead === 0xe0 ? 0xa0 : 0x80, 0x80];
  return [lead === 0xf0 ? 0x90 : 0x80, 0x80, 0x80];
}

/** What the last bytes of a string leave incomplete: the beginning of an escape, or of a character. */
export function incompleteEnd(last: Uint8Array): Uint8Array {
  for (let length = 1; length <= Math.min(5, last.length); length++) {
    const begin = last.length - length;
    const end = last.subarray(begin);
    const position = StringPosition.inside(end);
    if (position.completion.length > 0 && position.count === 1 && !isEscaped(last, begin)) return end;
  }
  return new Uint8Array();
}

/** Whether an odd number of backslashes stands before. */
function isEscaped(bytes: Uint8Array, at: number): boolean {
  let begin = at;
  while (begin > 0 && bytes[begin - 1] === BACKSLASH) begin--;
  return (at - begin) % 2 === 1;
}

/** How many more characters the string may have, at most `LOOKAHEAD`; null when it is none that `masking` does not count. */
export function roomLeft(position: StringPosition, masking: Matcher, exact: Matcher): number | null {
  const accepts = (matcher: Matcher, count: number) => {
    const text = Uint8Array.from([...position.completion, ...Array<readonly number[]>(count).fill(FILLER).flat()]);
    if (text.length === 0) return true;
    const accepted = matcher.acceptBytes(text);
    if (accepted) matcher.undo();
    return accepted;
  };
  if (accepts(exact, LOOKAHEAD) || !accepts(masking, LOOKAHEAD)) return null;
  let low = 0;
  let high = LOOKAHEAD - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (accepts(exact, middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Characters that a token adds to the string at a position, before a quote ends it. */
export function charactersAdded(position: StringPosition, bytes: Uint8Array): number {
  const at = position.clone();
  const before = at.count;
  for (let i = 0; i < bytes.length && at.inString; i++) at.pushByte(bytes[i]!);
  return at.count - before;
}

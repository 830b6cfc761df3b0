/** Character classes as Rust and Oniguruma know them; JavaScript's own `\s`, `\w` and `\d` differ. */

/** Written inside of a class, `[${...}]` with the flag u. */
export const classes = {
  space: "\\p{White_Space}",
  word: "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u200c\\u200d",
  punctuation: "\\p{P}!-\\/:-@\\[-`\\{-~",
  number: "\\p{N}",
} as const;

const leadingSpace = new RegExp(`^[${classes.space}]+`, "u");
const trailingSpace = new RegExp(`[${classes.space}]$`, "u");
const oneSpace = new RegExp(`^[${classes.space}]$`, "u");

/** Length of the white space at the beginning. */
export function countLeadingSpace(text: string): number {
  return leadingSpace.exec(text)?.[0].length ?? 0;
}

/** Where the white space at the end begins; a plain `\s+$` takes quadratic time on a text of spaces. */
export function trailingSpaceStart(text: string): number {
  let end = text.length;
  // All white space lies in the basic plane: one code unit each.
  while (end > 0 && oneSpace.test(text[end - 1]!)) end--;
  return end;
}

export function endsInSpace(text: string): boolean {
  return trailingSpace.test(text);
}

/** Character by character, as Rust does it: a sigma at the end of a word does not become another letter. */
export function lowercase(text: string): string {
  const sigma = "\u03a3";
  if (!text.includes(sigma)) return text.toLowerCase();
  return text
    .split(sigma)
    .map((part) => part.toLowerCase())
    .join("\u03c3");
}

/** GPT-2's map of bytes to characters: printable Latin-1 stands for itself, the other bytes for U+0100 and up, in order. */
export const characterOfByte: readonly string[] = mapBytes();

function mapBytes(): string[] {
  const isPrintable = (byte: number) => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++));
}

const encoder = new TextEncoder();

/** The UTF-8 bytes of a text in GPT-2's characters. */
export function toByteCharacters(text: string): string {
  let mapped = "";
  for (const byte of encoder.encode(text)) mapped += characterOfByte[byte]!;
  return mapped;
}

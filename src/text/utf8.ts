const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });
const encoder = new TextEncoder();

/** Text of UTF-8 bytes; every broken sequence becomes one U+FFFD (as Rust and the WHATWG do it). A BOM is kept. */
export function decodeUtf8(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** UTF-8 bytes of a text; a lone surrogate becomes U+FFFD. */
export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text);
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** How many bytes at the end (0..3) may still become a character when more bytes follow. */
export function countIncompleteTail(bytes: Uint8Array): number {
  const end = bytes.length;
  for (let taken = 1; taken <= Math.min(3, end); taken++) {
    const byte = bytes[end - taken]!;
    if (byte >= 0x80 && byte <= 0xbf) continue;
    if (byte < 0xc2 || byte > 0xf4) return 0;
    const needed = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    if (needed <= taken) return 0;
    return taken === 1 || isSecondByte(byte, bytes[end - taken + 1]!) ? taken : 0;
  }
  return 0;
}

/** The second byte excludes overlong forms, surrogates and what lies beyond U+10FFFF. */
function isSecondByte(lead: number, second: number): boolean {
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  return second >= low && second <= high;
}

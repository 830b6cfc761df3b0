/** Names of token blocks: equal names mean equal tokens after equal beginnings, under the same root. */

/** Tokens of a block. A ring of a window has room for a whole number of them (see kv/row-size.ts). */
export const BLOCK_TOKENS = 64;

const HEX_DIGITS = 32;

/** What blocks must share to be exchangeable, as the key that the first block's builds on. */
export function rootKey(parts: readonly string[]): string {
  const hash = new Bun.CryptoHasher("sha256");
  // A length before each part, so that no two lists run together. UTF-8 would make one of all unpaired surrogates.
  for (const part of parts) hash.update(`${part.length}:`).update(Buffer.from(part, "utf16le"));
  return hash.digest("hex").slice(0, HEX_DIGITS);
}

/** The key of the block of `tokens` that follows the block `parent`. Hashes of 128 bits are not to be made equal on purpose. */
export function blockKey(parent: string, tokens: Int32Array): string {
  return new Bun.CryptoHasher("sha256").update(parent).update(tokens).digest("hex").slice(0, HEX_DIGITS);
}

/** Random numbers that depend on nothing but a seed and a position, so that a request draws the same ones in any batch. */

/** 32-bit finaliser of MurmurHash3 (Appleby, public domain). */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** A uniform number in [0, 1) with 24 random bits, exact in float32. `seed` is any safe integer. */
export function uniform(seed: number, position: number): number {
  const low = seed | 0;
  const high = Math.floor(seed / 2 ** 32) | 0;
  let h = mix(low ^ 0x9e3779b9);
  h = mix(h ^ high ^ 0x7f4a7c15);
  h = mix(h ^ (position + 0x3c6ef372));
  return (mix(h ^ low) >>> 8) / 2 ** 24;
}

/** A seed for a request that names none. */
export function randomSeed(): number {
  const [a, b] = crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number];
  return a + (b & 0x1fffff) * 2 ** 32;
}

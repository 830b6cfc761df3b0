/** Encoders against what sentence-transformers computed: see make_encoders.py. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { type ModelServer, openServer } from "../../src/engine/open-server.ts";
import { liveArrays } from "../../src/mlx/array.ts";

interface Expected {
  texts: string[];
  /** In tokens. */
  lengths: number[];
  vectors: number[][];
}

const directory = `${import.meta.dir}/../fixtures/parity-encoder`;

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

describe.each(readdirSync(directory))("%s", (name) => {
  let server: ModelServer;
  let expected: Expected;
  let texts: number[][];
  beforeAll(async () => {
    expected = (await Bun.file(`${directory}/${name}/expected.json`).json()) as Expected;
    // Few tokens a step, so that texts take several where they go in chunks.
    server = await openServer(`${directory}/${name}`, {
      cpu: true,
      maxTokensPerStep: 20,
      memoryLimit: 2e9,
      prefixCacheMemory: 0,
    });
    texts = await Promise.all(expected.texts.map((text) => server.encode(text, { addSpecialTokens: true })));
  });
  afterAll(() => server.close());

  test("a batch of different lengths gives the reference's vectors", async () => {
    expect(texts.map(({ length }) => length)).toEqual(expected.lengths);
    const vectors = await server.embed(texts);
    for (const [i, vector] of vectors.entries()) {
      expect(vector.length).toBe(server.model.embedding!.dimensions);
      expect(cosine(vector, expected.vectors[i]!)).toBeGreaterThan(0.99999);
      expect(largestDifference(vector, expected.vectors[i]!)).toBeLessThan(2e-5);
    }
  });

  test("keeps no array of a pass", async () => {
    const before = liveArrays();
    await Promise.all(texts.map((text) => server.embed([text])));
    expect(liveArrays()).toBe(before);
  });

  test("each alone is as in the batch", async () => {
    const together = await server.embed(texts);
    for (const [i, text] of texts.entries()) {
      const [alone] = await server.embed([text]);
      expect(largestDifference(alone!, together[i]!)).toBeLessThan(2e-6);
    }
  });
});

import { beforeAll, describe, expect, test } from "bun:test";
import type { SamplingParams } from "../../src/engine/request.ts";
import { isShaped, type ShapedRow, shapeByGraph, shapeByKernel } from "../../src/engine/shaping.ts";
import { evaluate, floats, openMlx, readFloats, scope } from "../../src/mlx/array.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { Prng } from "./prng.ts";
import { referenceShape } from "./reference-shaping.ts";
import { drawTokens, readProbs, row } from "./sampler-rows.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

type Shape = (scores: MxArray, rows: readonly ShapedRow[], vocab: number) => MxArray;
const ways: [name: string, shape: Shape][] = [
  ["the primitive", shapeByKernel],
  ["the graph", shapeByGraph],
];

/** Ids that are left of each row; those that are left must have their scores. */
function keptBy(shape: Shape, scores: readonly number[][], rows: readonly ShapedRow[]): number[][] {
  const vocab = scores[0]!.length;
  const all = scope(() => {
    const array = mx.contiguous(shape(floats(scores.flat(), [rows.length, vocab]), rows, vocab));
    evaluate(array);
    return readFloats(array);
  });
  return scores.map((own, r) =>
    own.flatMap((score, id) => {
      const got = all[r * vocab + id]!;
      if (got === -Infinity) return [];
      expect(got).toBe(Math.fround(score));
      return [id];
    }),
  );
}

/** Scores in steps that no rounding blurs, in random order, some of them banned. */
function randomScores(random: Prng, vocab: number): number[] {
  const step = random.pick([0.003, 0.02, 0.15]);
  const order = Array.from({ length: vocab }, (_, i) => i).toSorted(() => random.next() - 0.5);
  return order.map((i) => (random.chance(0.05) && i > 0 ? -Infinity : 3 - i * step - 0.37 * Math.log(1 + i)));
}

function randomSampling(random: Prng, vocab: number): Partial<SamplingParams> {
  const maybe = <T>(value: () => T, otherwise: T): T => (random.chance(0.4) ? value() : otherwise);
  return {
    temperature: 1,
    topNSigma: maybe(() => 0.2 + 2 * random.next(), 0),
    typicalP: maybe(() => 0.05 + 0.9 * random.next(), 1),
    topP: maybe(() => 0.1 + 0.85 * random.next(), 1),
    minP: maybe(() => 0.3 * random.next(), 0),
    topK: maybe(() => random.int(1, vocab + 3), 0),
    xtc: maybe(() => ({ probability: random.pick([0.5, 1]), threshold: 0.3 * random.next() }), null),
  };
}

describe("filters in a chain", () => {
  for (const vocab of [1, 2, 7, 64, 700]) {
    test(`leave of ${vocab} scores what the plain reference leaves, by the primitive and by the graph`, () => {
      const random = new Prng(100 + vocab);
      const rows = Array.from({ length: 300 }, () =>
        row({
          ...randomSampling(random, vocab),
          seed: random.int(0, 2 ** 40),
          position: random.int(0, 1000),
          exempt: Array.from({ length: random.int(0, 3) }, () => random.int(-1, vocab + 1)),
        }),
      );
      const scores = rows.map(() => randomScores(random, vocab));
      const want = rows.map((one, r) => referenceShape(scores[r]!, one));
      for (const [name, shape] of ways) {
        const got = keptBy(shape, scores, rows);
        // A mass that ends within rounding of a bound may take one more or one less.
        const different = got.filter((ids, r) => ids.join() !== want[r]!.join());
        expect([name, different.length <= 2]).toEqual([name, true]);
        for (const ids of got) expect(ids.length).toBeGreaterThan(0);
      }
    });
  }

  test("of a large vocabulary with equal scores keep or drop equals together", () => {
    const scores = Array.from({ length: 30000 }, (_, id) => (id % 3 === 0 ? 2 : id % 3 === 1 ? 1 : -4));
    const rows = [
      row({ temperature: 1, typicalP: 0.3 }),
      row({ temperature: 1, topNSigma: 0.5 }),
      row({ topP: 0.2, typicalP: 0.999 }),
    ];
    for (const [, shape] of ways) {
      const got = keptBy(shape, Array<number[]>(3).fill(scores), rows);
      expect(got.map((ids) => ids.length)).toEqual([10000, 20000, 10000]);
    }
  });
});

describe("XTC", () => {
  const logits = [5, 4.8, 4.6, 1, 0.5];
  const xtc = { probability: 1, threshold: 0.2 };
  const kept = (options: Parameters<typeof row>[0]) =>
    readProbs([logits], [row({ temperature: 1, xtc, ...options })])[0]!.flatMap((p, id) => (p > 0 ? [id] : []));

  test("leaves the least likely of the likely ones", () => {
    expect(kept({})).toEqual([2, 3, 4]);
    expect(kept({ exempt: [0] })).toEqual([0, 2, 3, 4]);
    expect(kept({ xtc: { probability: 1, threshold: 0.35 } })).toEqual([0, 1, 2, 3, 4]);
    // top-k counts what XTC has left, also when it is 1.
    expect(kept({ topK: 2 })).toEqual([2, 3]);
    expect(drawTokens([logits], [row({ temperature: 1, xtc, topK: 1 })]).tokens).toEqual([2]);
  });

  test("does nothing to greedy rows", () => {
    expect(drawTokens([logits], [row({ xtc })]).tokens).toEqual([0]);
  });

  test("happens as often as it should, whatever is drawn", () => {
    const rows = Array.from({ length: 4000 }, (_, i) =>
      row({ temperature: 1, seed: i % 50, position: Math.floor(i / 50), xtc: { probability: 0.3, threshold: 0.1 } }),
    );
    const share = rows.filter(isShaped).length / rows.length;
    expect(Math.abs(share - 0.3)).toBeLessThan(4 * Math.sqrt((0.3 * 0.7) / rows.length));
    // The number that decides is not the one that draws.
    const { tokens } = drawTokens(Array<number[]>(rows.length).fill([0, 0, -9, -9, -9]), rows);
    const first = tokens.filter((id, i) => id === 0 && isShaped(rows[i]!)).length / rows.filter(isShaped).length;
    expect(first).toBeGreaterThan(0.4);
    expect(first).toBeLessThan(0.6);
  });
});

test("rows draw alone what they draw in a crowd, also beside rows without filters", () => {
  const random = new Prng(8);
  const vocab = 60;
  const rows = Array.from({ length: 60 }, (_, i) =>
    row({
      ...(i % 3 === 0 ? { temperature: 1 } : randomSampling(random, vocab)),
      seed: random.int(0, 1000),
      position: i,
      exempt: [3],
    }),
  );
  const logits = rows.map(() => randomScores(random, vocab));
  const { tokens } = drawTokens(logits, rows);
  rows.forEach((one, i) => {
    expect(drawTokens([logits[i]!], [one]).tokens).toEqual([tokens[i]!]);
  });
  expect(new Set(tokens).size).toBeGreaterThan(15);
});

import { beforeAll, describe, expect, test } from "bun:test";
import type { SamplerRow } from "../../src/engine/sampler.ts";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { Prng } from "./prng.ts";
import { drawTokens, logSoftmax, readProbs, readSamplingFixture, row, type SamplingFixture } from "./sampler-rows.ts";

let fixture: SamplingFixture;
beforeAll(async () => {
  openMlx(locateNativeLibrary(), true);
  fixture = await readSamplingFixture();
});

/** Rows of the fixture's filters, but for the one setting that this API does not have. */
function filterCases() {
  return fixture.filters
    .filter(({ settings }) => settings.min_tokens_to_keep === undefined)
    .map(({ logits, settings: { temp, top_p = 1, top_k = 0, min_p = 0 }, kept, probs }) => ({
      logits: fixture.logits[logits]!,
      row: row({ temperature: temp!, topP: top_p, topK: top_k, minP: min_p }),
      kept,
      probs,
    }));
}

function checkProbs(got: readonly number[], kept: readonly number[], probs: readonly number[]): void {
  expect(got.flatMap((p, id) => (p > 0 ? [id] : []))).toEqual([...kept]);
  kept.forEach((id, i) => {
    expect(Math.abs(got[id]! - probs[i]!)).toBeLessThanOrEqual(fixture.tolerance.probs);
  });
}

/** A batch with every kind of row. */
function mixedBatch(random: Prng, count: number, vocab: number): { logits: number[][]; rows: SamplerRow[]; previous: number[] } {
  const token = () => random.int(0, vocab - 1);
  const tokens = (most: number) => Array.from({ length: random.int(0, most) }, token);
  const maybe = <T>(value: () => T, otherwise: T): T => (random.chance(0.5) ? value() : otherwise);
  const rows = Array.from({ length: count }, (_, i) =>
    row({
      temperature: maybe(() => 0.5 + random.next(), 0),
      topP: maybe(() => 0.3 + 0.7 * random.next(), 1),
      topK: maybe(() => random.int(1, vocab + 5), 0),
      minP: maybe(() => 0.3 * random.next(), 0),
      repetitionPenalty: maybe(() => 0.8 + random.next(), 1),
      repetitionContextSize: maybe(() => random.int(0, 8), null),
      presencePenalty: maybe(() => 2 * random.next() - 1, 0),
      frequencyPenalty: maybe(() => 2 * random.next() - 1, 0),
      logitBias: maybe(() => new Map(tokens(4).map((id) => [id, 4 * random.normal()])), new Map()),
      prompt: tokens(12),
      output: tokens(8),
      pending: maybe<number | null>(() => random.int(0, count - 1), null),
      banned: maybe(() => tokens(3), []),
      logprobs: maybe<number | null>(() => 3, null),
      seed: random.int(0, 2 ** 40),
      position: i,
    }),
  );
  const logits = rows.map(() => Array.from({ length: vocab }, () => 2 * random.normal()));
  return { logits, rows, previous: rows.map(token) };
}

describe("filters", () => {
  test("keep what mlx-lm keeps, with its probabilities, alone", () => {
    for (const { logits, row, kept, probs } of filterCases()) checkProbs(readProbs([logits], [row])[0]!, kept, probs);
  });

  test("and all in one batch", () => {
    const cases = filterCases();
    expect(cases.length).toBe(39);
    const all = readProbs(
      cases.map(({ logits }) => logits),
      cases.map(({ row }) => row),
    );
    cases.forEach(({ kept, probs }, i) => {
      checkProbs(all[i]!, kept, probs);
    });
  });

  test("always keep the likeliest token", () => {
    const logits = fixture.logits.wide!;
    for (const setting of [{ topP: 0 }, { topP: 1e-9 }, { minP: 1 }, { topK: 1 }, { topP: 0, minP: 1, topK: 1 }]) {
      checkProbs(readProbs([logits], [row({ temperature: 1, ...setting })])[0]!, [fixture.greedy.wide!], [1]);
    }
    const all = readProbs([logits], [row({ temperature: 1, topK: 64 })])[0]!;
    expect(all.every((p) => p > 0)).toBe(true);
  });
});

describe("the drawn token", () => {
  test("is the likeliest one when greedy, with top_k 1, and at a temperature near zero", () => {
    for (const [name, logits] of Object.entries(fixture.logits)) {
      for (const setting of [
        {},
        { temperature: 2, topK: 1 },
        { temperature: 1e-4 },
        { temperature: 1e-30 },
        { temperature: 1e-300 },
      ]) {
        for (const seed of [1, 2, 3])
          expect(drawTokens([logits], [row({ ...setting, seed })]).tokens).toEqual([fixture.greedy[name]!]);
      }
    }
  });

  test("is the first of equals when greedy", () => {
    expect(drawTokens([[0, 3, 1, 3, 3]], [row()]).tokens).toEqual([1]);
  });

  test("is the same alone, in a crowd, and at any place in it", () => {
    const random = new Prng(21);
    const { logits, rows, previous } = mixedBatch(random, 40, 50);
    const together = drawTokens(logits, rows, previous);
    const order = rows.map((_, i) => (i * 17 + 5) % rows.length);
    const shuffled = drawTokens(
      order.map((i) => logits[i]!),
      order.map((i) => rows[i]!),
      previous,
    );
    rows.forEach((one, i) => {
      const alone = drawTokens([logits[i]!], [one], previous);
      expect(alone.tokens).toEqual([together.tokens[i]!]);
      expect(shuffled.tokens[order.indexOf(i)]).toBe(together.tokens[i]!);
    });
    expect(new Set(together.tokens).size).toBeGreaterThan(15);
  });

  test("depends on the seed and on the position", () => {
    const logits = fixture.logits.flat!;
    const draw = (seed: number, position: number) => drawTokens([logits], [row({ temperature: 1, seed, position })]).tokens[0]!;
    const bySeed = new Set(Array.from({ length: 40 }, (_, i) => draw(i, 0)));
    const byPosition = new Set(Array.from({ length: 40 }, (_, i) => draw(0, i)));
    expect(Math.min(bySeed.size, byPosition.size)).toBeGreaterThan(20);
    expect(draw(7, 3)).toBe(draw(7, 3));
  });

  const draws = 8192;
  const spreads: [name: string, logits: string, setting: Partial<Parameters<typeof row>[0]>, place: (i: number) => object][] = [
    ["many seeds", "flat", {}, (i) => ({ seed: i })],
    ["many positions", "flat", {}, (i) => ({ seed: 12345, position: i })],
    ["both", "wide", { temperature: 0.7 }, (i) => ({ seed: i % 91, position: Math.floor(i / 91) })],
    ["large seeds", "wide", { temperature: 1.5, topP: 0.9 }, (i) => ({ seed: Number.MAX_SAFE_INTEGER - i })],
    ["negative seeds", "peaked", { temperature: 1.3, topK: 12 }, (i) => ({ seed: -i })],
  ];
  test.each(spreads)("follows the probabilities over %s", (_name, name, setting, place) => {
    const logits = fixture.logits[name]!;
    const rows = Array.from({ length: draws }, (_, i) => row({ temperature: 1, ...setting, ...place(i) }));
    const { tokens } = drawTokens(Array<number[]>(draws).fill(logits), rows);
    const [probs] = readProbs([logits], [rows[0]!]);
    const counts = new Array<number>(logits.length).fill(0);
    for (const id of tokens) counts[id]!++;
    let chiSquare = 0;
    let bins = 0;
    let [rareCount, rareExpected] = [0, 0];
    probs!.forEach((p, id) => {
      if (p === 0) expect(counts[id]).toBe(0);
      if (p * draws < 5) {
        rareCount += counts[id]!;
        rareExpected += p * draws;
        return;
      }
      chiSquare += (counts[id]! - p * draws) ** 2 / (p * draws);
      bins++;
    });
    if (rareExpected > 1) chiSquare += (rareCount - rareExpected) ** 2 / rareExpected;
    // Mean bins, deviation sqrt(2 bins): four of them are as good as never.
    expect(bins).toBeGreaterThan(5);
    expect(chiSquare).toBeLessThan(bins + 4 * Math.sqrt(2 * bins));
  });

  test("is never one that is banned or biased away, and always one that is biased far up", () => {
    const logits = fixture.logits.peaked!;
    const best = fixture.greedy.peaked!;
    const rows = Array.from({ length: 300 }, (_, i) => [
      row({ temperature: 2, seed: i, banned: [best, 8] }),
      row({ temperature: 2, seed: i, logitBias: new Map([[best, -100]]) }),
      row({ temperature: 2, seed: i, logitBias: new Map([[42, 100]]) }),
      row({ temperature: 2, seed: i, banned: [best], topP: 0.5 }),
      row({ seed: i, banned: [best] }),
    ]).flat();
    const { tokens } = drawTokens(Array<number[]>(rows.length).fill(logits), rows);
    tokens.forEach((id, i) => {
      if (i % 5 === 2) expect(id).toBe(42);
      else expect(id).not.toBe(best);
      if (i % 5 === 0) expect(id).not.toBe(8);
      if (i % 5 === 4) expect(id).toBe(8);
    });
  });
});

describe("log-probabilities", () => {
  test("are the model's own, for the rows that ask, whatever the row draws from", () => {
    const logits = ["peaked", "wide", "flat", "wide", "peaked"].map((name) => fixture.logits[name]!);
    const rows = [
      row({ logprobs: 2 }),
      row(),
      row({ logprobs: 5, temperature: 1.5, seed: 4, presencePenalty: 2, output: [1, 2], logitBias: new Map([[3, 50]]) }),
      row({ temperature: 1, seed: 2 }),
      row({ logprobs: 0, banned: [46] }),
    ];
    const { tokens, chosen, top } = drawTokens(logits, rows);
    expect(tokens[2]).toBe(3);
    [0, 2, 4].forEach((index, i) => {
      const expected = logSoftmax(logits[index]!);
      expect(chosen[i]).toBeCloseTo(expected[tokens[index]!]!, 4);
      const best = expected.map((logprob, id) => ({ id, logprob })).toSorted((a, b) => b.logprob - a.logprob);
      const got = top[i]!.toSorted((a, b) => b.logprob - a.logprob);
      expect(got.map(({ id }) => id)).toEqual(best.slice(0, 5).map(({ id }) => id));
      got.forEach(({ logprob }, j) => {
        expect(logprob).toBeCloseTo(best[j]!.logprob, 4);
      });
    });
  });

  test("may be of the chosen token only, or of the whole vocabulary", () => {
    const logits = [fixture.logits.wide!];
    const only = drawTokens(logits, [row({ logprobs: 0 })]);
    expect([only.chosen.length, only.top]).toEqual([1, [[]]]);
    const all = drawTokens(logits, [row({ logprobs: 100 })]);
    expect(all.top[0]!.map(({ id }) => id).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, i) => i));
  });
});

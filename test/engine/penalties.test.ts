import { beforeAll, describe, expect, test } from "bun:test";
import { hasPenalty } from "../../src/engine/penalties.ts";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { Prng } from "./prng.ts";
import { type ProcessorSettings, readPenalized, readSamplingFixture, row, type SamplingFixture } from "./sampler-rows.ts";

let fixture: SamplingFixture;
beforeAll(async () => {
  openMlx(locateNativeLibrary(), true);
  fixture = await readSamplingFixture();
});

/** mlx-lm looks at the last tokens of prompt and output, 20 by default. */
function toRow(settings: ProcessorSettings, tokens: readonly number[], split: number) {
  return row({
    repetitionPenalty: settings.repetition_penalty ?? 1,
    repetitionContextSize: settings.repetition_context_size ?? 20,
    presencePenalty: settings.presence_penalty ?? 0,
    presenceContextSize: settings.presence_context_size ?? 20,
    frequencyPenalty: settings.frequency_penalty ?? 0,
    frequencyContextSize: settings.frequency_context_size ?? 20,
    logitBias: new Map(Object.entries(settings.logit_bias ?? {}).map(([id, bias]) => [Number(id), bias])),
    prompt: tokens.slice(0, split),
    output: tokens.slice(split),
  });
}

function expectClose(got: readonly number[], want: readonly number[], tolerance: number): void {
  expect(got.length).toBe(want.length);
  got.forEach((x, i) => {
    expect(x === want[i] || Math.abs(x - want[i]!) <= tolerance).toBe(true);
  });
}

describe("bias and penalties", () => {
  test("are mlx-lm's, alone and all in one batch, wherever the prompt ends", () => {
    expect(fixture.processors.length).toBe(10);
    for (const split of [0, 3, 1000]) {
      const cases = fixture.processors.map((one) => ({
        logits: fixture.logits[one.logits]!,
        row: toRow(one.settings, one.tokens, split),
        result: one.result,
      }));
      const together = readPenalized(
        cases.map(({ logits }) => logits),
        cases.map((one) => one.row),
      );
      cases.forEach(({ logits, row, result }, i) => {
        expectClose(together[i]!, result, fixture.tolerance.logits);
        expectClose(readPenalized([logits], [row])[0]!, result, fixture.tolerance.logits);
      });
    }
  });

  test("of presence and frequency leave the prompt's tokens alone", () => {
    const logits = fixture.logits.wide!;
    const [got] = readPenalized(
      [logits],
      [row({ presencePenalty: 1, frequencyPenalty: 0.5, prompt: [4, 4, 7], output: [9, 9, 4] })],
    );
    const want = [...logits];
    want[9]! -= 2;
    want[4]! -= 1.5;
    expectClose(got!, want, 1e-5);
  });

  test("are told apart from rows that have none", () => {
    expect(hasPenalty(row({ temperature: 1, topK: 3, output: [1], repetitionContextSize: 5 }))).toBe(false);
    const settings: Parameters<typeof row>[0][] = [
      { repetitionPenalty: 1.1 },
      { presencePenalty: -1 },
      { frequencyPenalty: 0.1 },
      { logitBias: new Map([[1, 2]]) },
      { banned: [3] },
      { repetitions: new Map([[3, 1]]) },
    ];
    for (const setting of settings) {
      expect(hasPenalty(row(setting))).toBe(true);
    }
  });

  test("ban tokens for good, whatever else is said of them", () => {
    const setting = { repetitionPenalty: 1.5, frequencyPenalty: -2, logitBias: new Map([[5, 100]]), output: [5, 5] };
    const [got] = readPenalized([fixture.logits.wide!], [row({ ...setting, banned: [5, 6] })]);
    expect([got![5], got![6]]).toEqual([Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    expect(got!.filter((x) => Number.isFinite(x)).length).toBe(62);
  });

  test("ignore ids outside of the vocabulary", () => {
    const logits = [fixture.logits.wide!, fixture.logits.flat!];
    const outside = [-1, 64, 65, 127, 1e6, 2 ** 31 - 1];
    const rows = [
      row({ logitBias: new Map(outside.map((id) => [id, 7])), banned: outside }),
      row({ logitBias: new Map([[3, 1]]) }),
    ];
    const got = readPenalized(logits, rows);
    expectClose(got[0]!, logits[0]!, 1e-6);
    const want = [...logits[1]!];
    want[3]! += 1;
    expectClose(got[1]!, want, 1e-6);
  });
});

describe("a token in flight", () => {
  test("counts as one that is known", () => {
    const random = new Prng(33);
    const vocab = 40;
    const tokens = (least: number, most: number) =>
      Array.from({ length: random.int(least, most) }, () => random.int(0, vocab - 1));
    for (let round = 0; round < 60; round++) {
      const previous = tokens(5, 5);
      const both = Array.from({ length: random.int(1, 6) }, () => {
        const pending = random.int(0, 4);
        const output = tokens(0, 5);
        // Often one that is there already, or has a bias.
        if (random.chance(0.4)) output.push(previous[pending]!);
        const setting = {
          repetitionPenalty: random.pick([1, 1.3, 0.7]),
          repetitionContextSize: random.pick([null, 0, 1, 2, 5]),
          presencePenalty: random.pick([0, 0.9]),
          presenceContextSize: random.pick([null, 0, 1, 3]),
          frequencyPenalty: random.pick([0, 0.4, -0.6]),
          frequencyContextSize: random.pick([null, 0, 1, 4]),
          logitBias: random.pick([new Map(), new Map([[previous[pending]!, 3]]), new Map(tokens(1, 3).map((id) => [id, -2]))]),
          banned: random.pick([[], [], [previous[pending]!], tokens(1, 2)]),
          prompt: tokens(0, 6),
        };
        const known = row({ ...setting, output: [...output, previous[pending]!] });
        return random.chance(0.3) ? { known, unknown: known } : { known, unknown: row({ ...setting, output, pending }) };
      });
      const logits = both.map(() => Array.from({ length: vocab }, () => 3 * random.normal()));
      const want = readPenalized(
        logits,
        both.map(({ known }) => known),
      );
      const got = readPenalized(
        logits,
        both.map(({ unknown }) => unknown),
        previous,
      );
      got.forEach((one, i) => {
        expectClose(one, want[i]!, 1e-5);
      });
    }
  });
});

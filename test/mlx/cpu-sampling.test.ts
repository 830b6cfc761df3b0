/** Our CPU primitive for sampling against the graph of MLX's operations that a GPU runs. */
import { beforeAll, describe, expect, test } from "bun:test";
import { filteredProbs } from "../../src/engine/filters.ts";
import { uniform } from "../../src/engine/random.ts";
import { samplingTable } from "../../src/engine/sampler.ts";
import { evaluate, floats, openMlx, readFloats, readUints, scope } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { row } from "../engine/sampler-rows.ts";
import { random } from "./randoms.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

describe("sampling", () => {
  for (const vocab of [1, 5, 64, 1000, 4099]) {
    test(`draws from ${vocab} scores what the graph of MLX's operations draws`, () => {
      const settings = [
        { temperature: 1 },
        { temperature: 0.3 },
        { temperature: 2.5, topP: 0.9 },
        { temperature: 0.7, topP: 1e-6 },
        { topK: 3 },
        { topK: 40, topP: 0.5, minP: 0.02 },
        { minP: 0.3, temperature: 5 },
        { topP: 0.999, temperature: 1.5 },
        { topK: 5000 },
      ];
      const rows = Array.from({ length: 400 }, (_, i) =>
        row({ temperature: 1, ...settings[i % settings.length], seed: i, position: 7 }),
      );
      scope(() => {
        // Peaked and flat rows in turn; in steps of 0.001, so that scores differ clearly or not at all.
        const values = rows.flatMap((_, r) =>
          Array.from({ length: vocab }, () => Math.round(random() * [200, 4000, 16000][r % 3]!) / 1000),
        );
        const scores = floats(values, [rows.length, vocab]);
        const tokens = mx.cpuSample(scores, samplingTable(rows));
        const probs = mx.contiguous(filteredProbs(scores, rows, vocab));
        evaluate(tokens, probs);
        const drawn = readUints(tokens);
        const p = readFloats(probs);
        rows.forEach(({ seed, position }, r) => {
          const target = uniform(seed, position);
          let below = 0;
          for (let i = 0; i < drawn[r]!; i++) below += p[r * vocab + i]!;
          const own = p[r * vocab + drawn[r]!]!;
          expect(own).toBeGreaterThan(0);
          expect(below).toBeLessThan(target + 1e-5);
          expect(below + own).toBeGreaterThan(target - 1e-5);
        });
      });
    });
  }

  test("banned scores are never drawn, and a row without any number draws something", () => {
    scope(() => {
      const rows = Array.from({ length: 50 }, (_, i) => row({ temperature: 1.5, topP: i % 2 ? 0.9 : 1, seed: i, position: 7 }));
      const scores = floats(
        rows.flatMap(() => [-Infinity, 1, -Infinity, 2, -Infinity]),
        [50, 5],
      );
      const nothing = floats([-Infinity, -Infinity, Number.NaN, Number.NaN], [2, 2]);
      const tokens = mx.cpuSample(scores, samplingTable(rows));
      const odd = mx.cpuSample(nothing, samplingTable(rows.slice(0, 2)));
      evaluate(tokens, odd);
      expect(new Set(readUints(tokens))).toEqual(new Set([1, 3]));
      for (const token of readUints(odd)) expect(token).toBeLessThan(2);
    });
  });
});

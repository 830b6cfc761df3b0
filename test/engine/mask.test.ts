import { beforeAll, expect, test } from "bun:test";
import { drawableTokens } from "../../src/engine/constraint.ts";
import { applyMask, maskByGraph } from "../../src/engine/sampler.ts";
import { evaluate, floats, ints, openMlx, readFloats, scope } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { bits } from "./imitation-grammar.ts";
import { Prng } from "./prng.ts";
import { drawTokens, row } from "./sampler-rows.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

for (const vocab of [1, 31, 32, 33, 1000, 4096]) {
  test(`a mask over ${vocab} tokens leaves exactly the allowed ones, by the primitive and by the graph`, () => {
    const random = new Prng(vocab);
    const rows = 5;
    const scores = Float32Array.from({ length: rows * vocab }, () => random.next() * 20 - 10);
    const allowed = Array.from({ length: rows }, () =>
      Array.from({ length: vocab }, (_, id) => id).filter(() => random.next() < 0.4),
    );
    const masks = allowed.map((ids) => bits(ids, vocab));
    const want = scores.map((score, at) => (allowed[Math.floor(at / vocab)]!.includes(at % vocab) ? score : -Infinity));
    scope(() => {
      const x = floats(scores, [rows, vocab]);
      const width = Math.ceil(vocab / 32);
      const byGraph = mx.contiguous(
        maskByGraph(
          x,
          ints(
            masks.flatMap((mask) => [...mask]),
            [rows, width],
          ),
          vocab,
        ),
      );
      const byPrimitive = mx.contiguous(applyMask(x, masks, vocab));
      evaluate(byGraph, byPrimitive);
      expect(readFloats(byPrimitive)).toEqual(want);
      expect(readFloats(byGraph)).toEqual(want);
    });
  });
}

test("masked rows draw from what is allowed, in the proportions that the model gives, and change no other row", () => {
  const vocab = 8;
  const logits = [2, 1, 0, -1, 3, 0.5, 0, 1];
  const rows = Array.from({ length: 3000 }, (_, seed) => {
    return row({ temperature: 1, seed, allowed: seed % 3 === 0 ? null : bits([1, 3, 6], vocab) });
  });
  const draw = (some: typeof rows) => {
    return drawTokens(
      some.map(() => logits),
      some,
    ).tokens;
  };
  const drawn = draw(rows);
  const free = draw(rows.filter(({ allowed }) => allowed === null));
  expect(drawn.filter((_, i) => i % 3 === 0)).toEqual(free);
  const masked = drawn.filter((_, i) => i % 3 !== 0);
  const weights = new Map([1, 3, 6].map((id) => [id, Math.exp(logits[id]!)]));
  const total = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
  for (const [id, weight] of weights) {
    const share = masked.filter((token) => token === id).length / masked.length;
    expect(Math.abs(share - weight / total)).toBeLessThan(0.04);
  }
  expect(masked.every((token) => weights.has(token))).toBe(true);
});

test("end tokens are among the drawable exactly when the output may end", () => {
  const ends = [3, 40, 99];
  const draw = (mask: Int32Array | null, mayEnd: boolean) => drawableTokens({ mask, mayEnd, mustEnd: false }, ends, 70);
  const isSet = (words: Int32Array | null, id: number) => words === null || ((words[id >> 5]! >>> (id & 31)) & 1) === 1;
  for (const mask of [bits([1, 2, 50], 70), null]) {
    for (const mayEnd of [true, false]) {
      const words = draw(mask, mayEnd);
      for (let id = 0; id < 70; id++) {
        const want = ends.includes(id) ? mayEnd : mask === null || [1, 2, 50].includes(id);
        expect({ id, mayEnd, set: isSet(words, id) }).toEqual({ id, mayEnd, set: want });
      }
    }
  }
  // A mask may be wider than the logits, when the tokenizer knows more tokens than the model.
  expect(drawableTokens({ mask: new Int32Array(9).fill(-1), mayEnd: false, mustEnd: false }, [], 70)).toHaveLength(3);
});

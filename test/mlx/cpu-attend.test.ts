/** Attention over the cache tensors against MLX's own, for every instruction set that this processor has. */
import { beforeAll, describe, expect, test } from "bun:test";
import { evaluate, floats, openMlx, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { MlxError, type MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { difference } from "./difference.ts";
import { random, randoms } from "./randoms.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

describe("attention", () => {
  // Heads, key-value heads, dimensions of a head.
  for (const [heads, kvHeads, dim] of [
    [4, 4, 16],
    [8, 2, 64],
    [6, 1, 24],
    [4, 2, 80],
    [10, 5, 128],
    [34, 2, 16],
    [70, 1, 24],
  ] as const) {
    test(`${heads} heads of ${dim} over ${kvHeads}: chunks and single tokens of rows in two classes`, () => {
      scope(() => {
        const capacities = [64, 256];
        // [class, row, start, count]
        const stretches = [
          [0, 2, 0, 1],
          [0, 0, 63, 1],
          [0, 1, 5, 40],
          [1, 0, 0, 130],
          [1, 2, 200, 1],
          [1, 1, 100, 7],
        ] as const;
        // NaN wherever nothing has been written.
        const caches = capacities.flatMap((capacity, index) =>
          [0, 1].map(() => {
            const values = new Float32Array(3 * kvHeads * capacity * dim).fill(Number.NaN);
            for (const [sizeClass, row, start] of stretches) {
              if (sizeClass !== index) continue;
              for (let head = 0; head < kvHeads; head++) {
                const at = (row * kvHeads + head) * capacity * dim;
                for (let i = 0; i < start * dim; i++) values[at + i] = random();
              }
            }
            return floats(values, [3, kvHeads, capacity, dim]);
          }),
        );
        const tokens = stretches.reduce((sum, [, , , count]) => sum + count, 0);
        const q = randoms([tokens, heads, dim]);
        const k = randoms([tokens, kvHeads, dim]);
        const v = randoms([tokens, kvHeads, dim]);
        let offset = 0;
        const plan: number[] = [];
        const wanted: MxArray[] = [];
        for (const [sizeClass, row, start, count] of stretches) {
          const own = (x: MxArray, n: number) =>
            mx.expandDims(mx.transpose(mx.slice(x, [offset, 0, 0], [offset + count, n, dim]), [1, 0, 2]), 0);
          const past = (which: number) =>
            mx.clone(mx.slice(caches[sizeClass * 2 + which]!, [row, 0, 0, 0], [row + 1, kvHeads, start, dim]));
          const keys = mx.concatenate([past(0), own(k, kvHeads)], 2);
          const values = mx.concatenate([past(1), own(v, kvHeads)], 2);
          const out = mx.attention(own(q, heads), keys, values, 0.2, true, null, null);
          wanted.push(mx.reshape(mx.transpose(out, [0, 2, 1, 3]), [count, heads * dim]));
          plan.push(sizeClass, row, start, count, offset);
          offset += count;
        }
        const want = mx.concatenate(wanted, 0);
        // Computed first: the primitive changes the caches.
        evaluate(want);
        expect(difference(mx.cpuAttend(q, k, v, null, caches, plan, [], dim, 0, 0, 0.2, 0), want)).toBeLessThan(3e-6);
      });
    });
  }

  for (const [dim, half, pairs] of [
    [64, 32, false],
    [48, 12, true],
  ] as const) {
    test(`heads of ${dim} that are rotated on the way, ${half} pairs`, () => {
      scope(() => {
        const plan = [0, 1, 0, 40, 0, 0, 0, 3, 1, 40];
        const asked = [2, 1, 1, 0];
        const [q, k, v] = [randoms([3, 4, dim]), randoms([41, 2, dim]), randoms([41, 2, dim])];
        const past = randoms([1, 2, 3, dim]);
        const [queryTable, keyTable] = [3, 41].map((count) => mx.cpuRopeTable(mx.arange(0, count), randoms([half]), 1)) as [
          MxArray,
          MxArray,
        ];
        const run = (change: (x: MxArray) => MxArray) => {
          const cache = () =>
            mx.contiguous(mx.sliceUpdate(mx.full([2, 2, 64, dim], 0, DTYPES.float32), past, [0, 0, 0, 0], [1, 2, 3, dim]));
          const caches = [cache(), cache()];
          evaluate(...caches);
          const turned = [mx.cpuRope(q, queryTable, pairs), mx.cpuRope(k, keyTable, pairs)].map(change) as [MxArray, MxArray];
          const out = mx.cpuAttend(...turned, v, null, caches, plan, asked, dim, 0, 0, 0.2, 0);
          evaluate(out);
          return [out, ...caches] as const;
        };
        const before = run((x) => {
          const plain = mx.contiguous(x);
          evaluate(plain);
          return plain;
        });
        run((x) => x).forEach((array, i) => {
          expect(difference(array, before[i]!)).toBeLessThan(1e-6);
        });
      });
    });
  }

  test("a plan that points outside of cache or batch is an error before anything runs", () => {
    scope(() => {
      const cache = randoms([2, 1, 8, 16]);
      const x = randoms([1, 1, 16]);
      for (const plan of [
        [1, 0, 0, 1, 0],
        [0, 2, 0, 1, 0],
        [0, -1, 0, 1, 0],
        [0, 0, 8, 1, 0],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 1],
      ]) {
        expect(() => mx.cpuAttend(x, x, x, null, [cache, cache], plan, [], 16, 0, 0, 1, 0)).toThrow(MlxError);
      }
    });
  });
});

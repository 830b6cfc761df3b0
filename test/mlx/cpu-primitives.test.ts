/** Our CPU primitives against MLX's own operations, with odd shapes, for every instruction set that this processor has. */
import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { evaluate, floats, ints, openMlx, readFloats, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { MlxError, type MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { random, randoms } from "./randoms.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

/** Largest difference, relative to the largest value; where all are below a millionth, to that. */
function difference(got: MxArray, want: MxArray): number {
  const both = [mx.contiguous(mx.astype(got, DTYPES.float32)), mx.contiguous(mx.astype(want, DTYPES.float32))] as const;
  evaluate(...both);
  const a = readFloats(both[0]);
  const b = readFloats(both[1]);
  expect(a.length).toBe(b.length);
  let error = 0;
  let scale = 1e-6;
  for (let i = 0; i < b.length; i++) {
    error = Math.max(error, Math.abs(a[i]! - b[i]!));
    scale = Math.max(scale, Math.abs(b[i]!));
    if (!Number.isFinite(a[i]!)) return Number.POSITIVE_INFINITY;
  }
  return error / scale;
}

function check(body: () => [MxArray, MxArray], tolerance = 2e-6): void {
  scope(() => expect(difference(...body())).toBeLessThan(tolerance));
}

describe("linear", () => {
  const shapes = [
    [1, 1, 1],
    [1, 7, 33],
    [2, 16, 32],
    [3, 64, 31],
    [5, 96, 65],
    [12, 33, 64],
    [13, 640, 100],
    [25, 129, 257],
    [64, 256, 96],
    [200, 70, 40],
  ] as const;
  for (const [rows, k, n] of shapes) {
    test(`[${rows}, ${k}] x [${n}, ${k}]`, () => {
      check(() => {
        const x = randoms([rows, k]);
        const w = randoms([n, k]);
        return [mx.cpuLinear(x, mx.cpuPack(w), null, n, 0, 0), mx.matmul(x, mx.transpose(w, [1, 0]))];
      });
      check(() => {
        const x = randoms([rows, k]);
        const w = mx.astype(randoms([n, k]), DTYPES.bfloat16);
        const bias = randoms([n]);
        return [
          mx.cpuLinear(x, mx.cpuPack(w), bias, n, 0, 0),
          mx.add(mx.matmul(x, mx.transpose(mx.astype(w, DTYPES.float32), [1, 0])), bias),
        ];
      });
    });
  }

  test("rows of a packed matrix are the matrix's rows", () => {
    check(() => {
      const w = randoms([70, 19]);
      const ids = ints([0, 69, 31, 32, 33, 5]);
      return [mx.cpuRows(mx.cpuPack(w), ids), mx.take(w, ids, 0)];
    }, 1e-30);
  });

  test("a non-contiguous input is taken as it is meant", () => {
    check(() => {
      const x = mx.transpose(randoms([9, 6]), [1, 0]);
      const w = randoms([4, 9]);
      return [mx.cpuLinear(x, mx.cpuPack(w), null, 4, 0, 0), mx.matmul(x, mx.transpose(w, [1, 0]))];
    });
  });

  test("wrong shapes and types are errors before anything runs", () => {
    scope(() => {
      const packed = mx.cpuPack(randoms([8, 4]));
      expect(() => mx.cpuLinear(randoms([2, 5]), packed, null, 8, 0, 0)).toThrow(MlxError);
      expect(() => mx.cpuLinear(randoms([2, 4]), packed, null, 80, 0, 0)).toThrow(MlxError);
      expect(() => mx.cpuLinear(randoms([2, 4]), packed, randoms([7]), 8, 0, 0)).toThrow(MlxError);
      expect(() => mx.cpuLinear(ints([1, 2, 3, 4], [1, 4]), packed, null, 8, 0, 0)).toThrow(MlxError);
      expect(() => mx.cpuRows(packed, randoms([2]))).toThrow(MlxError);
    });
  });
});

describe("small operations", () => {
  for (const [rows, n] of [
    [1, 1],
    [3, 17],
    [5, 64],
    [2, 640],
    [7, 1001],
  ] as const) {
    test(`norm, swiglu and argmax of [${rows}, ${n}]`, () => {
      check(() => {
        const x = randoms([rows, n]);
        const w = randoms([n]);
        return [mx.cpuRmsNorm(x, w, 1e-5), mx.rmsNorm(x, w, 1e-5)];
      });
      check(() => {
        const x = randoms([rows, n]);
        return [mx.cpuRmsNorm(x, null, 1e-6), mx.rmsNorm(x, null, 1e-6)];
      });
      for (const [weighted, biased] of [
        [true, true],
        [true, false],
        [false, true],
        [false, false],
      ]) {
        // One value has no deviation: what is left is rounding.
        if (n === 1) continue;
        check(() => {
          const x = mx.add(randoms([rows, n]), floats([3]));
          const w = weighted ? randoms([n]) : null;
          const b = biased ? randoms([n]) : null;
          return [mx.cpuLayerNorm(x, w, b, 1e-5), mx.layerNorm(x, w, b, 1e-5)];
        }, 1e-5);
      }
      // MLX's own sigmoid and tanh are good to 6e-8 and no better where the result is small.
      const gated = (factor: number, activation: (x: number) => number, operation: typeof mx.cpuSwiglu) =>
        check(() => {
          const gate = mx.multiply(randoms([rows, n]), floats([factor]));
          const up = randoms([rows, n]);
          evaluate(gate, up);
          const factors = readFloats(up);
          const want = readFloats(gate).map((x, i) => activation(x) * factors[i]!);
          return [operation(gate, up), floats(want, [rows, n])];
        });
      gated(40, (x) => x / (1 + Math.exp(-x)), mx.cpuSwiglu);
      gated(6, (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))), mx.cpuGeglu);
      check(() => {
        const x = randoms([rows, n]);
        return [mx.cpuArgmax(x), mx.argmax(x, -1)];
      });
    });
  }

  test("argmax gives the first of equals, and 0 where nothing is a number", () => {
    scope(() => {
      const x = floats([1, 3, 3, 2, Number.NaN, Number.NaN, Number.NaN, Number.NaN, -Infinity, -Infinity, -Infinity, 5], [3, 4]);
      const index = mx.astype(mx.cpuArgmax(x), DTYPES.float32);
      evaluate(index);
      expect([...readFloats(index)]).toEqual([1, 0, 3]);
    });
  });

  for (const [dim, dims, pairs] of [
    [8, 8, false],
    [64, 64, false],
    [64, 32, false],
    [80, 80, true],
    [96, 48, true],
    [24, 24, false],
  ] as const) {
    test(`rope of ${dims} of ${dim} dimensions${pairs ? " in pairs" : ""}`, () => {
      check(() => {
        const x = randoms([5, 3, dim]);
        const positions = ints([0, 1, 17, 1000, 4095]);
        const freqs = floats(Array.from({ length: dims / 2 }, (_, i) => 10000 ** ((-2 * i) / dims)));
        const want = mx.squeeze(mx.rope(mx.expandDims(x, 2), dims, pairs, 10000, 0.5, positions, null), 2);
        return [mx.cpuRope(x, mx.cpuRopeTable(positions, freqs, 0.5), pairs), want];
      }, 2e-4);
    });
  }
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

if (!process.env.MLX_CB_KERNELS) {
  for (const kernels of ["generic", "avx2"]) {
    test(`all of it with the ${kernels} loops`, async () => {
      const others = ["cpu-linear.test.ts", "cpu-sampling.test.ts"].map((file) => join(import.meta.dir, file));
      const child = Bun.spawn([process.execPath, "test", import.meta.path, ...others], {
        cwd: join(import.meta.dir, "../.."),
        env: { ...process.env, MLX_CB_KERNELS: kernels },
        stdout: "ignore",
        stderr: "pipe",
      });
      const output = await new Response(child.stderr).text();
      expect(output).toContain(" 0 fail");
      expect(await child.exited).toBe(0);
    });
  }
}

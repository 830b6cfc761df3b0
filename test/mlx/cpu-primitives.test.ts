/** Our CPU primitives against MLX's own operations, with odd shapes, for every instruction set that this processor has. */
import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { evaluate, floats, ints, openMlx, readFloats, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { MlxError, type MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { difference } from "./difference.ts";
import { randoms } from "./randoms.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

function check(body: () => [MxArray, MxArray], tolerance = 2e-6): void {
  scope(() => expect(difference(...body(), 1e-6)).toBeLessThan(tolerance));
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

if (!process.env.MLX_CB_KERNELS) {
  for (const kernels of ["generic", "avx2"]) {
    test(`all of it with the ${kernels} loops`, async () => {
      const others = ["cpu-attend.test.ts", "cpu-linear.test.ts", "cpu-sampling.test.ts"].map((file) =>
        join(import.meta.dir, file),
      );
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

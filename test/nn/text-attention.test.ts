/** Attention without a cache, and gelu: our CPU primitives against graphs of MLX's own operations. */
import { beforeAll, describe, expect, test } from "bun:test";
import { evaluate, floats, openMlx, readFloats, scope } from "../../src/mlx/array.ts";
import { gelu } from "../../src/mlx/fast.ts";
import { MlxError, type MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { attendGroups, attendTexts } from "../../src/nn/text-attention.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

/** float32 in [-2, 2), from numbers of this file's own. */
let state = 11;
function randoms(shape: readonly number[]): MxArray {
  const values = Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 30 - 2;
  });
  return floats(values, shape);
}

function read(a: MxArray): Float32Array {
  const contiguous = mx.contiguous(a);
  evaluate(contiguous);
  return readFloats(contiguous);
}

function difference(got: MxArray, want: MxArray): number {
  const [a, b] = [read(got), read(want)];
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return b.reduce((most, value, i) => Math.max(most, Math.abs(value - a[i]!)), 0);
}

const shapes: [heads: number, kvHeads: number, headDim: number][] = [
  [2, 2, 8],
  [12, 12, 32],
  [4, 1, 64],
  [6, 2, 80],
];

describe.each(shapes)("%d heads over %d of %d", (heads, kvHeads, headDim) => {
  // Beyond a block of keys (64) and of queries (192), one token, neighbours of one length.
  const batches = [[1], [5], [3, 1, 64, 65, 7], [16, 16, 16], [130, 2, 250, 1, 1]];
  for (const causal of [false, true]) {
    test.each(batches.map((lengths) => ({ lengths })))(`causal ${causal}: $lengths`, ({ lengths }) => {
      scope(() => {
        const total = lengths.reduce((sum, n) => sum + n, 0);
        const q = randoms([total, heads * headDim]);
        const [k, v] = [randoms([total, kvHeads * headDim]), randoms([total, kvHeads * headDim])];
        const options = { heads, kvHeads, headDim, scale: headDim ** -0.5, causal };
        const together = attendTexts(q, k, v, lengths, options);
        expect(difference(together, attendGroups(q, k, v, lengths, options))).toBeLessThan(3e-6);
        // Each text alone: nothing of one leaks into another.
        let at = 0;
        for (const length of lengths) {
          const rows = (x: MxArray, width: number) => mx.slice(x, [at, 0], [at + length, width]);
          const [oneQ, oneK, oneV] = [rows(q, heads * headDim), rows(k, kvHeads * headDim), rows(v, kvHeads * headDim)];
          const alone = attendTexts(oneQ, oneK, oneV, [length], options);
          expect(difference(alone, rows(together, heads * headDim))).toBe(0);
          at += length;
        }
      });
    });
  }
});

test("lengths that do not fit are refused", () => {
  scope(() => {
    const x = randoms([6, 8]);
    const options = { heads: 1, kvHeads: 1, headDim: 8, scale: 1, causal: false };
    for (const lengths of [[], [5], [7], [6, 0], [-1, 7]]) {
      expect(() => attendTexts(x, x, x, lengths, options)).toThrow(MlxError);
    }
    expect(() => attendTexts(x, randoms([6, 16]), randoms([6, 16]), [6], { ...options, kvHeads: 2 })).toThrow(MlxError);
  });
});

/** Maclaurin's series of the error function, in double precision. */
function erf(x: number): number {
  if (Math.abs(x) > 5) return Math.sign(x);
  let sum = 0;
  let term = x;
  for (let n = 0; n < 120; n++) {
    sum += term / (2 * n + 1);
    term *= -(x * x) / (n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

test("gelu is the exact one", () => {
  scope(() => {
    const values = Array.from({ length: 40_037 }, (_, i) => (i - 20_000) / 2500);
    const got = read(gelu(floats(values)));
    for (const [i, x] of values.entries()) {
      const want = (x * (1 + erf(x / Math.SQRT2))) / 2;
      expect(Math.abs(got[i]! - want)).toBeLessThan(2e-6);
    }
  });
});

// The same for the instruction sets that would not be chosen here.
if (!process.env.MLX_CB_KERNELS) {
  for (const kernels of ["generic", "avx2"]) {
    test(`the ${kernels} loops pass all of this`, () => {
      const { exitCode, stderr } = Bun.spawnSync([process.execPath, "test", import.meta.path], {
        env: { ...process.env, MLX_CB_KERNELS: kernels },
        stdout: "pipe",
        stderr: "pipe",
      });
      expect(`${exitCode} ${stderr}`).toStartWith("0");
    }, 60_000);
  }
}

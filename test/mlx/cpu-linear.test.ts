/** Several products with one input at once, and the gated half of a feed-forward part, against one product after the other. */
import { beforeAll, expect, test } from "bun:test";
import { openMlx, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { MlxError, type MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { difference } from "./difference.ts";
import { randoms } from "./randoms.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const KINDS: Record<string, { group: number; bits: number; pack: (w: MxArray, k: number) => MxArray }> = {
  float32: { group: 0, bits: 0, pack: (w) => mx.cpuPack(w) },
  bfloat16: { group: 0, bits: 0, pack: (w) => mx.cpuPack(mx.astype(w, DTYPES.bfloat16)) },
  "4 bits": { group: 64, bits: 4, pack: (w, k) => quantize(w, k, 4) },
  "8 bits": { group: 64, bits: 8, pack: (w, k) => quantize(w, k, 8) },
};

function quantize(w: MxArray, k: number, bits: number): MxArray {
  const levels = mx.quantize(w, 64, bits);
  return mx.cpuQuantizedPack(levels, mx.output(levels, 1), mx.output(levels, 2), k, 64, bits);
}

function expectNear(got: MxArray, want: MxArray): void {
  expect(difference(got, want)).toBeLessThan(3e-6);
}

for (const [name, { group, bits, pack }] of Object.entries(KINDS)) {
  for (const [rows, k, sizes] of [
    [1, 64, [33, 1, 64]],
    [7, 640, [96, 32, 32]],
    [300, 640, [40, 200]],
  ] as const) {
    test(`${name}: [${rows}, ${k}] times matrices of ${sizes} rows, with and without biases`, () => {
      for (const biased of [false, true]) {
        scope(() => {
          const x = randoms([rows, k]);
          const packed = sizes.map((n) => pack(randoms([n, k]), k));
          const biases = biased ? sizes.map((n) => randoms([n])) : [];
          const first = mx.cpuLinears(x, packed, biases, sizes, group, bits);
          const products = sizes.map((_, i) => (i === 0 ? first : mx.output(first, i)));
          products.forEach((product, i) => {
            expectNear(product, mx.cpuLinear(x, packed[i]!, biases[i] ?? null, sizes[i]!, group, bits));
          });
        });
      }
    });
  }

  for (const [rows, k, n] of [
    [1, 64, 1],
    [3, 64, 65],
    [64, 256, 96],
    [300, 640, 40],
  ] as const) {
    test(`${name}: gated [${rows}, ${k}] x 2 [${n}, ${k}]`, () => {
      scope(() => {
        const x = randoms([rows, k]);
        const [gate, up] = [pack(randoms([n, k]), k), pack(randoms([n, k]), k)];
        const [a, b] = [gate, up].map((matrix) => mx.cpuLinear(x, matrix, null, n, group, bits)) as [MxArray, MxArray];
        expectNear(mx.cpuGatedLinear(x, gate, up, n, group, bits, false), mx.cpuSwiglu(a, b));
        expectNear(mx.cpuGatedLinear(x, gate, up, n, group, bits, true), mx.cpuGeglu(a, b));
      });
    });
  }
}

test("a product that is added to something is the sum, whatever else is done with it", () => {
  for (const [rows, n, biased] of [
    [1, 33, false],
    [70, 100, true],
  ] as const) {
    scope(() => {
      const [x, w] = [randoms([rows, 64]), mx.cpuPack(randoms([n, 64]))];
      const [bias, residual, other] = [biased ? randoms([n]) : null, randoms([rows, n]), randoms([1, n])];
      const product = mx.cpuLinear(x, w, bias, n, 0, 0);
      const sum = mx.cpuAddTo(residual, product);
      const twice = mx.cpuAddTo(residual, sum);
      const spread = mx.cpuAddTo(other, product);
      const plain = mx.contiguous(mx.cpuLinear(x, w, bias, n, 0, 0));
      expectNear(sum, mx.add(residual, plain));
      expectNear(twice, mx.add(mx.add(residual, plain), residual));
      expectNear(spread, mx.add(other, plain));
      // Computed by now: there is nothing left to be joined.
      expectNear(product, plain);
      expectNear(mx.cpuAddTo(residual, product), mx.add(residual, plain));
    });
  }
});

test("a strided input is taken as it is meant: transposed, cut and repeated", () => {
  scope(() => {
    const w = mx.cpuPack(randoms([10, 6]));
    const whole = randoms([6, 4, 9]);
    const cut = mx.slice(mx.transpose(whole, [2, 1, 0]), [2, 1, 0], [8, 3, 6]);
    expectNear(mx.cpuLinear(cut, w, null, 10, 0, 0), mx.cpuLinear(mx.contiguous(cut), w, null, 10, 0, 0));
    const repeated = mx.broadcastTo(randoms([1, 6]), [5, 6]);
    expectNear(mx.cpuLinear(repeated, w, null, 10, 0, 0), mx.cpuLinear(mx.contiguous(repeated), w, null, 10, 0, 0));
  });
});

test("what does not fit is an error before anything runs", () => {
  scope(() => {
    const [w, other] = [mx.cpuPack(randoms([8, 4])), mx.cpuPack(randoms([8, 5]))];
    const x = randoms([2, 4]);
    expect(() => mx.cpuLinears(x, [], [], [], 0, 0)).toThrow(MlxError);
    expect(() => mx.cpuLinears(x, [w, w], [], [8], 0, 0)).toThrow(MlxError);
    expect(() => mx.cpuLinears(x, [w, other], [], [8, 8], 0, 0)).toThrow(MlxError);
    expect(() => mx.cpuLinears(x, [w, w], [randoms([8])], [8, 8], 0, 0)).toThrow(MlxError);
    expect(() => mx.cpuLinears(x, [w], [randoms([7])], [8], 0, 0)).toThrow(MlxError);
    expect(() => mx.cpuLinears(x, [w], [], [-8], 0, 0)).toThrow(MlxError);
    expect(() => mx.cpuGatedLinear(x, w, other, 8, 0, 0, false)).toThrow(MlxError);
    expect(() => mx.cpuGatedLinear(x, w, w, 80, 0, 0, false)).toThrow(MlxError);
    expect(() => mx.cpuGatedLinear(x, w, w, 8, 32, 4, false)).toThrow(MlxError);
  });
});

/** Packed matrices, affine and of 4-bit floating-point numbers, against MLX's own reading of them. */
import { beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { fromBytes, ints, openMlx, scope } from "../../src/mlx/array.ts";
import { DTYPES, QUANTIZATION_MODES } from "../../src/mlx/dtype.ts";
import { MlxError, type MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { difference, numbers } from "./difference.ts";
import { random, randoms } from "./randoms.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

function bytes(count: number, low: number, high: number): Uint8Array {
  return Uint8Array.from({ length: count }, () => low + Math.floor(((random() + 1) / 2) * (high - low + 1)));
}

/** Any levels; scales of either sign where the kind has signs. */
function randomMatrix(n: number, k: number, group: 16 | 32): { weight: MxArray; scales: MxArray } {
  const scales = bytes((n * k) / group, group === 32 ? 117 : 0, group === 32 ? 137 : 119);
  return {
    weight: fromBytes(bytes((n * k) / 2, 0, 255), DTYPES.uint32, [n, k / 8]),
    scales: fromBytes(scales, DTYPES.uint8, [n, k / group]),
  };
}

const KINDS = [
  ["mxfp4", 32],
  ["nvfp4", 16],
] as const;

/** Columns and inputs of the matrices that any number of rows is multiplied with. */
const SHAPE = [75, 256] as const;

/** Up to 12 rows take the levels as they are read, up to 24 do so twice, more use a buffer of weights: fewer with other loops. */
function expectAnyRows(
  [n, k]: readonly [number, number],
  group: number,
  bits: number,
  make: () => { packed: MxArray; dense: MxArray },
): void {
  for (let rows = 1; rows <= 30; rows++) {
    scope(() => {
      const x = randoms([rows, k]);
      const { packed, dense } = make();
      const want = mx.matmul(x, mx.transpose(dense, [1, 0]));
      expect(difference(mx.cpuLinear(x, packed, null, n, group, bits), want)).toBeLessThan(3e-6);
    });
  }
}

for (const [mode, group] of KINDS) {
  const dense = ({ weight, scales }: { weight: MxArray; scales: MxArray }) =>
    mx.dequantize(weight, scales, null, group, 4, QUANTIZATION_MODES[mode], DTYPES.float32);

  test(`${mode}: any number of rows`, () => {
    expectAnyRows(SHAPE, group, 4, () => {
      const matrix = randomMatrix(...SHAPE, group);
      return { packed: mx.cpuFloatPack(matrix.weight, matrix.scales, SHAPE[1], group), dense: dense(matrix) };
    });
  });

  for (const [rows, k, n] of [
    [1, 32, 1],
    [1, 64, 33],
    [3, 96, 31],
    [13, 160, 100],
    [64, 256, 96],
    [70, 1024, 65],
  ] as const) {
    test(`${mode} [${rows}, ${k}] x [${n}, ${k}]`, () => {
      scope(() => {
        const [x, matrix, bias] = [randoms([rows, k]), randomMatrix(n, k, group), randoms([n])];
        const packed = mx.cpuFloatPack(matrix.weight, matrix.scales, k, group);
        const want = mx.add(mx.matmul(x, mx.transpose(dense(matrix), [1, 0])), bias);
        expect(difference(mx.cpuLinear(x, packed, bias, n, group, 4), want)).toBeLessThan(3e-6);
      });
    });
  }

  test(`rows of ${mode}, every level and scale`, () => {
    scope(() => {
      const k = 256;
      const weight = fromBytes(
        Uint8Array.from({ length: 40 * 128 }, (_, i) => i),
        DTYPES.uint32,
        [40, k / 8],
      );
      // The largest exponents and not-a-number are left out: no checkpoint has them, and MLX's CPU code takes them otherwise.
      const all = Uint8Array.from({ length: 40 * (k / group) }, (_, i) => (group === 32 ? i % 254 : (i % 127) + 128 * (i & 1)));
      const matrix = { weight, scales: fromBytes(all, DTYPES.uint8, [40, k / group]) };
      const ids = ints([0, 39, 31, 32, 7]);
      const packed = mx.cpuFloatPack(matrix.weight, matrix.scales, k, group);
      const got = numbers(mx.cpuQuantizedRows(packed, ids, k, group, 4));
      const want = numbers(mx.take(dense(matrix), ids, 0));
      expect([...got].map((value) => value + 0)).toEqual([...want].map((value) => value + 0));
    });
  });

  test(`${mode} experts are packed one after the other`, () => {
    scope(() => {
      const [count, n, k] = [3, 40, 64];
      const all = randomMatrix(count * n, k, group);
      const weight = mx.reshape(all.weight, [count, n, k / 8]);
      const packed = mx.cpuFloatPack(weight, mx.reshape(all.scales, [count, n, k / group]), k, group);
      const x = randoms([count * 5, k]);
      const w = mx.transpose(mx.reshape(dense(all), [count, n, k]), [0, 2, 1]);
      const want = mx.reshape(mx.matmul(mx.reshape(x, [count, 5, k]), w), [count * 5, n]);
      expect(difference(mx.cpuExpertQuantizedLinear(x, packed, null, null, count, n, group, 4), want)).toBeLessThan(3e-6);
    });
  });
}

for (const [bits, group] of [
  [4, 32],
  [4, 128],
  [8, 64],
] as const) {
  test(`${bits} bits, groups of ${group}: any number of rows`, () => {
    expectAnyRows(SHAPE, group, bits, () => {
      const levels = mx.quantize(randoms(SHAPE), group, bits);
      const [scales, offsets] = [mx.output(levels, 1), mx.output(levels, 2)];
      return {
        packed: mx.cpuQuantizedPack(levels, scales, offsets, SHAPE[1], group, bits),
        dense: mx.dequantize(levels, scales, offsets, group, bits, QUANTIZATION_MODES.affine, DTYPES.float32),
      };
    });
  });
}

test("what cannot be is an error before anything runs", () => {
  scope(() => {
    const { weight, scales } = randomMatrix(8, 64, 32);
    expect(() => mx.cpuFloatPack(weight, randoms([8, 2]), 64, 32)).toThrow(MlxError);
    expect(() => mx.cpuFloatPack(weight, scales, 64, 64)).toThrow(MlxError);
    expect(() => mx.cpuFloatPack(weight, scales, 64, 16)).toThrow(MlxError);
    expect(() => mx.cpuFloatPack(weight, scales, 128, 32)).toThrow(MlxError);
    const packed = mx.cpuFloatPack(weight, scales, 64, 32);
    expect(() => mx.cpuLinear(randoms([1, 64]), packed, null, 8, 32, 8)).toThrow(MlxError);
    expect(() => mx.cpuLinear(randoms([1, 64]), packed, null, 8, 16, 4)).toThrow(MlxError);
    expect(() => mx.cpuLinear(randoms([1, 64]), packed, null, 40, 32, 4)).toThrow(MlxError);
  });
});

if (!process.env.MLX_CB_KERNELS) {
  for (const kernels of ["generic", "avx2"]) {
    test(`all of it, and experts, with the ${kernels} loops`, async () => {
      const child = Bun.spawn([process.execPath, "test", import.meta.path, join(import.meta.dir, "../nn/experts.test.ts")], {
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

/** Layers with quantized weights, as they are loaded, against `mx.dequantize` and a plain product: every kind, on both ways. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { fromBytes, ints, openMlx, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { modeNumber, type Quantization } from "../../src/nn/quantization.ts";
import { random, randoms } from "../mlx/randoms.ts";
import { makeScratch } from "./model-directories.ts";
import { contentOf, numbersOf, openWeights, type TensorContent, writeContents } from "./tensor-files.ts";

const scratch = makeScratch();
afterAll(scratch.remove);
beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const ROWS = 70;
const COLUMNS = 256;
const ALONE = { adapters: null };

const AFFINE: Quantization[] = [2, 3, 4, 5, 6, 8].flatMap((bits) =>
  [32, 64, 128].map((groupSize): Quantization => ({ mode: "affine", bits, groupSize })),
);
const FLOATS: Quantization[] = [
  { mode: "mxfp4", bits: 4, groupSize: 32 },
  { mode: "mxfp8", bits: 8, groupSize: 32 },
  { mode: "nvfp4", bits: 4, groupSize: 16 },
];
const KINDS = [...AFFINE, ...FLOATS];

/** Levels and scales of a random matrix; those of the floating-point kinds are invented, but for what stands for no number. */
function inventParts({ mode, bits, groupSize }: Quantization): TensorContent[] {
  const wide = [ROWS, (COLUMNS * bits) / 32];
  const groups = [ROWS, COLUMNS / groupSize];
  if (mode === "affine") {
    return scope(() => {
      const levels = mx.quantize(randoms([ROWS, COLUMNS]), groupSize, bits);
      const [scales, biases] = [mx.output(levels, 1), mx.output(levels, 2)];
      return [contentOf("U32", wide, levels), contentOf("F32", groups, scales), contentOf("F32", groups, biases)];
    });
  }
  const bytes = (count: number, make: () => number) => Uint8Array.from({ length: count }, make);
  // E4M3 has its two NaNs at 0x7f and 0xff; exponents stay near 1.
  const levels = bytes(ROWS * wide[1]! * 4, () => Math.floor((random() + 1) * 127.9) & (mode === "mxfp8" ? 0xbf : 0xff));
  const scales = bytes(ROWS * groups[1]!, () => (mode === "nvfp4" ? 0x28 : 120) + Math.floor((random() + 1) * 8));
  return [
    { dtype: "U32", shape: wide, bytes: levels },
    { dtype: "U8", shape: groups, bytes: scales },
  ];
}

function dequantized(kind: Quantization, [levels, scales, biases]: readonly TensorContent[]): MxArray {
  const array = ({ bytes, shape }: TensorContent, dtype: 1 | 3 | 10) => fromBytes(bytes, dtype, shape as number[]);
  const affine = kind.mode === "affine";
  const scale = array(scales!, affine ? DTYPES.float32 : DTYPES.uint8);
  const bias = biases ? array(biases, DTYPES.float32) : null;
  const weight = array(levels!, DTYPES.uint32);
  return mx.dequantize(weight, scale, bias, kind.groupSize, kind.bits, modeNumber(kind), DTYPES.float32);
}

function largestDifference(got: Float32Array, want: Float32Array): number {
  expect(got.length).toBe(want.length);
  const size = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(size).toBeGreaterThan(0);
  return got.reduce((most, value, i) => Math.max(most, Number.isFinite(value) ? Math.abs(value - want[i]!) : Infinity), 0) / size;
}

const WAYS = [
  { way: "CPU primitives", options: { dtype: DTYPES.float32, packed: true } },
  { way: "graph", options: { dtype: null, packed: false } },
];

for (const { way, options } of WAYS) {
  describe(way, () => {
    test.each(KINDS.map((kind) => [`${kind.mode}, ${kind.bits} bits, groups of ${kind.groupSize}`, kind] as const))(
      "%s",
      async (name, kind) => {
        const parts = inventParts(kind);
        const path = join(scratch.path, `${way} ${name}.safetensors`);
        const named = (module: string) =>
          Object.fromEntries(parts.map((part, i) => [`${module}.${["weight", "scales", "biases"][i]}`, part]));
        writeContents(path, { ...named("up"), ...named("embed") });
        // A setting for all modules that is not true of these: only the tensors count.
        const weights = await openWeights(path, { quantization: { group_size: 64, bits: 7, mode: "affine" } }, options);
        const linear = weights.linear("up", COLUMNS, ROWS, false);
        const embedding = weights.embedding("embed", ROWS, COLUMNS);
        weights.check("here", []);
        await weights.load();
        expect(weights.bytes).toBe(weights.plannedBytes);
        try {
          for (const tokens of [1, 5]) {
            scope(() => {
              const x = randoms([tokens, COLUMNS]);
              const want = numbersOf(() => mx.matmul(x, mx.transpose(dequantized(kind, parts), [1, 0])));
              expect(
                largestDifference(
                  numbersOf(() => linear.forward(x, ALONE)),
                  want,
                ),
              ).toBeLessThan(3e-6);
              expect(
                largestDifference(
                  numbersOf(() => embedding.asLinear(x)),
                  want,
                ),
              ).toBeLessThan(3e-6);
            });
          }
          const ids = [0, 69, 31, 32, 33, 31];
          const rows = scope(() => numbersOf(() => embedding.forward(ints(ids))));
          const all = scope(() => numbersOf(() => dequantized(kind, parts)));
          const want = ids.flatMap((id) => [...all.subarray(id * COLUMNS, (id + 1) * COLUMNS)]);
          expect(rows).toEqual(Float32Array.from(want));
        } finally {
          weights.free();
        }
      },
    );
  });
}

/** Layers of experts, for our CPU primitives and for MLX's own operations, against one product for each row. */
import { beforeAll, describe, expect, test } from "bun:test";
import { evaluate, fromBytes, openMlx, readFloats, readUints, scalar, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { MlxError, type MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { type ExpertRows, PlannedRows, SortedRows } from "../../src/nn/expert-rows.ts";
import {
  DenseExperts,
  type ExpertLinear,
  PackedExperts,
  PackedQuantizedExperts,
  QuantizedExperts,
} from "../../src/nn/experts.ts";
import { HeadLinear } from "../../src/nn/head-linear.ts";
import { Parameter } from "../../src/nn/parameter.ts";
import { random, randoms } from "../mlx/randoms.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

interface Shape {
  tokens: number;
  perToken: number;
  count: number;
  inDim: number;
  outDim: number;
}

const SHAPES: Shape[] = [
  { tokens: 1, perToken: 1, count: 1, inDim: 32, outDim: 1 },
  { tokens: 1, perToken: 2, count: 7, inDim: 64, outDim: 33 },
  { tokens: 5, perToken: 3, count: 4, inDim: 96, outDim: 40 },
  { tokens: 40, perToken: 2, count: 3, inDim: 128, outDim: 65 },
  { tokens: 90, perToken: 4, count: 128, inDim: 64, outDim: 96 },
  { tokens: 300, perToken: 1, count: 2, inDim: 160, outDim: 32 },
];

function parameter(array: MxArray): Parameter {
  const made = new Parameter("test");
  made.fill(array);
  return made;
}

function uints(values: readonly number[], shape: readonly number[]): MxArray {
  return fromBytes(Uint32Array.from(values), DTYPES.uint32, [...shape]);
}

/** Different experts for each token; the last one of several stays without rows. */
function choose({ tokens, perToken, count }: Shape): MxArray {
  const used = count > perToken ? count - 1 : count;
  const chosen = Array.from({ length: tokens }, () => {
    const first = Math.floor(((random() + 1) / 2) * used);
    return Array.from({ length: perToken }, (_, i) => (first + i) % used);
  });
  return uints(chosen.flat(), [tokens, perToken]);
}

function difference(got: MxArray, want: MxArray): number {
  const [a, b] = [mx.contiguous(got), mx.contiguous(want)];
  evaluate(a, b);
  const [x, y] = [readFloats(a), readFloats(b)];
  expect(x.length).toBe(y.length);
  // Sums of numbers around one: where they cancel, what they are made of still rounds.
  const scale = y.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
  return x.reduce((max, value, i) => (Number.isFinite(value) ? Math.max(max, Math.abs(value - y[i]!)) : Infinity), 0) / scale;
}

/** Affine levels of `bits` with scales and offsets, and the numbers they stand for. */
function quantized({ count, inDim, outDim }: Shape, bits: number, groupSize: number) {
  const words = count * outDim * ((inDim * bits) / 32);
  const levels = Uint32Array.from({ length: words }, () => Math.floor((random() + 1) * 2 ** 31));
  const weight = fromBytes(levels, DTYPES.uint32, [count, outDim, (inDim * bits) / 32]);
  const scales = randoms([count, outDim, inDim / groupSize]);
  const biases = randoms([count, outDim, inDim / groupSize]);
  const parts = { weight: parameter(weight), scales: parameter(scales), biases: parameter(biases) };
  const numbers = mx.dequantize(weight, scales, biases, groupSize, bits, 0, DTYPES.float32);
  return { parts: { ...parts, quantization: { mode: "affine" as const, groupSize, bits } }, numbers };
}

/** The weighted sum for each token, one product after the other. */
function plainly(x: MxArray, w: MxArray, bias: MxArray | null, chosen: MxArray, weights: MxArray): MxArray {
  const rows = mx.matmul(mx.take(w, chosen, 0), mx.expandDims(mx.expandDims(x, 1), 3));
  const y = mx.squeeze(rows, 3);
  return mx.sum(mx.multiply(bias ? mx.add(y, mx.take(bias, chosen, 0)) : y, mx.expandDims(weights, 2)), 1, false);
}

function through(layer: ExpertLinear, rows: ExpertRows, x: MxArray, weights: MxArray): MxArray {
  return rows.combine(layer.forward(rows.spread(x), rows.index), weights);
}

describe.each(SHAPES)("$tokens tokens to $perToken of $count experts of [$outDim, $inDim]", (shape) => {
  const { tokens, perToken, count, inDim, outDim } = shape;

  test.each([false, true])("dense, bias: %p", (biased) => {
    scope(() => {
      const [x, weights, chosen] = [randoms([tokens, inDim]), randoms([tokens, perToken]), choose(shape)];
      const w = randoms([count, outDim, inDim]);
      const bias = biased ? randoms([count, outDim]) : null;
      const biasParameter = bias && parameter(bias);
      const want = plainly(x, w, bias, chosen, weights);
      const packed = new PackedExperts(parameter(mx.cpuPack(w)), biasParameter, shape);
      expect(difference(through(packed, new PlannedRows(chosen, count), x, weights), want)).toBeLessThan(3e-6);
      const graph = new DenseExperts(parameter(mx.transpose(w, [0, 2, 1])), biasParameter);
      expect(difference(through(graph, new SortedRows(chosen), x, weights), want)).toBeLessThan(3e-6);
    });
  });

  test("bfloat16", () => {
    scope(() => {
      const [x, weights, chosen] = [randoms([tokens, inDim]), randoms([tokens, perToken]), choose(shape)];
      const w = mx.astype(randoms([count, outDim, inDim]), DTYPES.bfloat16);
      const layer = new PackedExperts(parameter(mx.cpuPack(w)), null, shape);
      const want = plainly(x, mx.astype(w, DTYPES.float32), null, chosen, weights);
      expect(difference(through(layer, new PlannedRows(chosen, count), x, weights), want)).toBeLessThan(3e-6);
    });
  });

  test.each([
    [2, 32],
    [3, 32],
    [4, 32],
    [8, 32],
  ])("%p bits in groups of %p", (bits, groupSize) => {
    scope(() => {
      const [x, weights, chosen] = [randoms([tokens, inDim]), randoms([tokens, perToken]), choose(shape)];
      const { parts, numbers } = quantized(shape, bits, groupSize);
      const bias = randoms([count, outDim]);
      const want = plainly(x, numbers, bias, chosen, weights);
      const { weight, scales, biases, quantization } = parts;
      const packed = mx.cpuQuantizedPack(weight.array, scales.array, biases.array, inDim, groupSize, bits);
      const layer = new PackedQuantizedExperts(parameter(packed), parameter(bias), shape, quantization);
      expect(difference(through(layer, new PlannedRows(chosen, count), x, weights), want)).toBeLessThan(5e-6);
      const graph = new QuantizedExperts(parts, parameter(bias));
      expect(difference(through(graph, new SortedRows(chosen), x, weights), want)).toBeLessThan(5e-6);
    });
  });

  test("a matrix for each head", () => {
    scope(() => {
      const x = randoms([tokens, count, inDim]);
      const w = randoms([count, outDim, inDim]);
      const want = mx.squeeze(mx.matmul(mx.expandDims(w, 0), mx.expandDims(x, 3)), 3);
      const packed = new HeadLinear(new PackedExperts(parameter(mx.cpuPack(w)), null, shape));
      expect(difference(packed.forward(x), want)).toBeLessThan(3e-6);
      const graph = new HeadLinear(new DenseExperts(parameter(mx.transpose(w, [0, 2, 1])), null));
      expect(difference(graph.forward(x), want)).toBeLessThan(3e-6);
      const { parts, numbers } = quantized(shape, 4, 32);
      const exact = mx.squeeze(mx.matmul(mx.expandDims(numbers, 0), mx.expandDims(x, 3)), 3);
      expect(difference(new HeadLinear(new QuantizedExperts(parts, null)).forward(x), exact)).toBeLessThan(5e-6);
    });
  });
});

test.each([
  [1, 1],
  [3, 37],
  [8, 64],
])("gpt-oss's activation of [%p, %p]", (rows, n) => {
  scope(() => {
    const spread = (by: number) => mx.multiply(randoms([rows, n]), scalar(by));
    const [gate, up] = [spread(8), spread(8)];
    const held = (x: MxArray) => mx.minimum(x, scalar(7));
    const linear = mx.add(mx.maximum(held(up), scalar(-7)), scalar(1));
    const want = mx.multiply(linear, mx.multiply(held(gate), mx.sigmoid(mx.multiply(held(gate), scalar(1.702)))));
    expect(difference(mx.cpuClippedSwiglu(gate, up), want)).toBeLessThan(2e-6);
  });
});

test("the k largest come first, the first of equals before the others, numbers before what is none", () => {
  scope(() => {
    const rows = [
      [3, 1, 4, 1, 5],
      [2, 2, 2, 2, 2],
      [Number.NaN, -1, Number.NaN, -2, -Infinity],
      [Number.NaN, Number.NaN, Number.NaN, Number.NaN, Number.NaN],
      [-Infinity, Infinity, 0, -0, 1],
    ];
    const x = fromBytes(Float32Array.from(rows.flat()), DTYPES.float32, [5, 5]);
    const best = mx.cpuTopK(x, 3);
    evaluate(best);
    expect([...readUints(best)]).toEqual([4, 2, 0, 0, 1, 2, 1, 3, 0, 0, 1, 2, 1, 4, 2]);
  });
});

test("what does not belong together is an error before anything runs", () => {
  scope(() => {
    const chosen = uints([0, 1, 1, 2], [2, 2]);
    const plan = mx.cpuExpertPlan(chosen, 3);
    const packed = mx.cpuPack(randoms([3, 8, 4]));
    const rows = mx.cpuExpertSpread(randoms([2, 4]), plan, 3);
    expect(() => mx.cpuTopK(randoms([2, 3]), 4)).toThrow(MlxError);
    expect(() => mx.cpuExpertPlan(randoms([2, 2]), 3)).toThrow(MlxError);
    expect(() => mx.cpuExpertSpread(randoms([3, 4]), plan, 3)).toThrow(MlxError);
    expect(() => mx.cpuExpertSpread(randoms([2, 4]), plan, 4)).toThrow(MlxError);
    expect(() => mx.cpuExpertLinear(rows, packed, null, plan, 4, 8)).toThrow(MlxError);
    expect(() => mx.cpuExpertLinear(rows, packed, null, plan, 3, 40)).toThrow(MlxError);
    expect(() => mx.cpuExpertLinear(randoms([4, 5]), packed, null, plan, 3, 8)).toThrow(MlxError);
    expect(() => mx.cpuExpertLinear(rows, packed, randoms([8]), plan, 3, 8)).toThrow(MlxError);
    expect(() => mx.cpuExpertLinear(randoms([5, 4]), packed, null, null, 3, 8)).toThrow(MlxError);
    expect(() => mx.cpuExpertCombine(rows, plan, randoms([2, 3]), 3)).toThrow(MlxError);
    expect(() => mx.cpuExpertQuantizedLinear(rows, packed, null, plan, 3, 8, 4, 4)).toThrow(MlxError);
  });
});

test("an expert that does not exist is taken for the last one", () => {
  scope(() => {
    const [x, w, weights] = [randoms([1, 8]), randoms([3, 8, 8]), randoms([1, 2])];
    const layer = new PackedExperts(parameter(mx.cpuPack(w)), null, { count: 3, outDim: 8 });
    const rows = (ids: number[]) => new PlannedRows(uints(ids, [1, 2]), 3);
    expect(difference(through(layer, rows([0, 9]), x, weights), through(layer, rows([0, 2]), x, weights))).toBe(0);
  });
});

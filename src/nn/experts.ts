/** The linear layers of many experts, stacked: each row goes through one of them. The variants are those of linear.ts. */
import { dimension } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { RowIndex } from "./expert-rows.ts";
import { type QuantizedWeight, quantizedMatmul } from "./linear.ts";
import type { Parameter } from "./parameter.ts";
import { modeNumber, type Quantization } from "./quantization.ts";

export interface ExpertLinear {
  /** x [R, in], its rows as `ExpertRows` put them, to [R, out]. */
  forward(x: MxArray, index: RowIndex): MxArray;
}

function planOf(index: RowIndex): MxArray | null {
  if (index === "even") return null;
  if ("plan" in index) return index.plan;
  throw new Error("the rows were not arranged for the CPU primitives");
}

function expertsOf(index: Exclude<RowIndex, "even">): { experts: MxArray; sorted: boolean } {
  if ("experts" in index) return index;
  throw new Error("the rows were arranged for the CPU primitives");
}

/** x [R, in] to [experts, R / experts, in]. */
function split(x: MxArray, experts: number): MxArray {
  return mx.reshape(x, [experts, -1, dimension(x, 1)]);
}

/** y [R, 1, out] to [R, out], plus the bias of each row's expert. */
function join(y: MxArray, bias: Parameter | null, experts: MxArray): MxArray {
  const flat = mx.squeeze(y, 1);
  return bias ? mx.add(flat, mx.take(bias.array, experts, 0)) : flat;
}

/** y [experts, rows, out] to [R, out], plus the bias of each. */
function joinEven(y: MxArray, bias: Parameter | null): MxArray {
  return mx.reshape(bias ? mx.add(y, mx.expandDims(bias.array, 1)) : y, [-1, dimension(y, 2)]);
}

export class DenseExperts implements ExpertLinear {
  /** [experts, in, out]: a transposed view of what the checkpoint holds. */
  readonly #transposed: Parameter;
  /** [experts, out] */
  readonly #bias: Parameter | null;

  constructor(transposed: Parameter, bias: Parameter | null) {
    this.#transposed = transposed;
    this.#bias = bias;
  }

  forward(x: MxArray, index: RowIndex): MxArray {
    const weight = this.#transposed.array;
    if (index === "even") return joinEven(mx.matmul(split(x, dimension(weight, 0)), weight), this.#bias);
    const { experts, sorted } = expertsOf(index);
    return join(mx.expertMm(mx.expandDims(x, 1), weight, experts, sorted), this.#bias, experts);
  }
}

export class QuantizedExperts implements ExpertLinear {
  readonly #weight: QuantizedWeight;
  readonly #bias: Parameter | null;

  constructor(weight: QuantizedWeight, bias: Parameter | null) {
    this.#weight = weight;
    this.#bias = bias;
  }

  forward(x: MxArray, index: RowIndex): MxArray {
    const { weight, scales, biases, quantization } = this.#weight;
    if (index === "even") return joinEven(quantizedMatmul(split(x, dimension(weight.array, 0)), this.#weight), this.#bias);
    const { groupSize, bits } = quantization;
    const { experts, sorted } = expertsOf(index);
    const offsets = biases?.array ?? null;
    const mode = modeNumber(quantization);
    const y = mx.expertQmm(mx.expandDims(x, 1), weight.array, scales.array, offsets, experts, groupSize, bits, mode, sorted);
    return join(y, this.#bias, experts);
  }
}

/** Sizes of the layers of packed experts. */
export interface ExpertShape {
  count: number;
  outDim: number;
}

/** Dense weights in the layout of our CPU primitive, one expert after the other. */
export class PackedExperts implements ExpertLinear {
  readonly #packed: Parameter;
  readonly #bias: Parameter | null;
  readonly #shape: ExpertShape;

  constructor(packed: Parameter, bias: Parameter | null, shape: ExpertShape) {
    this.#packed = packed;
    this.#bias = bias;
    this.#shape = shape;
  }

  forward(x: MxArray, index: RowIndex): MxArray {
    const { count, outDim } = this.#shape;
    return mx.cpuExpertLinear(x, this.#packed.array, this.#bias?.array ?? null, planOf(index), count, outDim);
  }
}

/** Quantized weights in the layout of our CPU primitive, one expert after the other. */
export class PackedQuantizedExperts implements ExpertLinear {
  readonly #packed: Parameter;
  readonly #bias: Parameter | null;
  readonly #shape: ExpertShape;
  readonly #quantization: Quantization;

  constructor(packed: Parameter, bias: Parameter | null, shape: ExpertShape, quantization: Quantization) {
    this.#packed = packed;
    this.#bias = bias;
    this.#shape = shape;
    this.#quantization = quantization;
  }

  forward(x: MxArray, index: RowIndex): MxArray {
    const { count, outDim } = this.#shape;
    const { groupSize, bits } = this.#quantization;
    const bias = this.#bias?.array ?? null;
    return mx.cpuExpertQuantizedLinear(x, this.#packed.array, bias, planOf(index), count, outDim, groupSize, bits);
  }
}

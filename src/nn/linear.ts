/** y = x W^T + b over the last axis, with dense or quantized weights. */
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Parameter } from "./parameter.ts";
import { modeNumber, type Quantization } from "./quantization.ts";

/** What a layer sees of the batch. */
export interface AdapterChoice {
  /** int32 [T], the adapter of each row of x, 0 for none; null: none of them has one. */
  readonly adapters: MxArray | null;
}

export interface Linear {
  /** x [T, in] to [T, out] */
  forward(x: MxArray, batch: AdapterChoice): MxArray;
}

/** The choice for the rows of x that `mx.take(x, rows, 0)` leaves; null: all of them. */
export function takeAdapters({ adapters }: AdapterChoice, rows: MxArray | null): AdapterChoice {
  return { adapters: adapters !== null && rows !== null ? mx.take(adapters, rows, 0) : adapters };
}

export class DenseLinear implements Linear {
  /** [in, out]: a transposed view of what the checkpoint holds. */
  readonly #transposed: Parameter;
  readonly #bias: Parameter | null;

  constructor(transposed: Parameter, bias: Parameter | null) {
    this.#transposed = transposed;
    this.#bias = bias;
  }

  forward(x: MxArray): MxArray {
    if (this.#bias) return mx.addmm(this.#bias.array, x, this.#transposed.array);
    return mx.matmul(x, this.#transposed.array);
  }
}

/** A dense weight in the layout of our CPU primitive. */
export class PackedLinear implements Linear {
  readonly #packed: Parameter;
  readonly #bias: Parameter | null;
  readonly #outDim: number;

  constructor(packed: Parameter, bias: Parameter | null, outDim: number) {
    this.#packed = packed;
    this.#bias = bias;
    this.#outDim = outDim;
  }

  forward(x: MxArray): MxArray {
    return mx.cpuLinear(x, this.#packed.array, this.#bias?.array ?? null, this.#outDim);
  }
}

/** An affine-quantized weight in the layout of our CPU primitive. */
export class PackedQuantizedLinear implements Linear {
  readonly #packed: Parameter;
  readonly #bias: Parameter | null;
  readonly #outDim: number;
  readonly #quantization: Quantization;

  constructor(packed: Parameter, bias: Parameter | null, outDim: number, quantization: Quantization) {
    this.#packed = packed;
    this.#bias = bias;
    this.#outDim = outDim;
    this.#quantization = quantization;
  }

  forward(x: MxArray): MxArray {
    const { groupSize, bits } = this.#quantization;
    return mx.cpuQuantizedLinear(x, this.#packed.array, this.#bias?.array ?? null, this.#outDim, groupSize, bits);
  }
}

/** The quantized weight with its scales and, in affine mode, offsets. */
export interface QuantizedWeight {
  weight: Parameter;
  scales: Parameter;
  biases: Parameter | null;
  quantization: Quantization;
}

export class QuantizedLinear implements Linear {
  readonly #weight: QuantizedWeight;
  readonly #bias: Parameter | null;

  constructor(weight: QuantizedWeight, bias: Parameter | null) {
    this.#weight = weight;
    this.#bias = bias;
  }

  forward(x: MxArray): MxArray {
    const y = quantizedMatmul(x, this.#weight);
    return this.#bias ? mx.add(y, this.#bias.array) : y;
  }
}

export function quantizedMatmul(x: MxArray, { weight, scales, biases, quantization }: QuantizedWeight): MxArray {
  const { groupSize, bits } = quantization;
  return mx.quantizedMatmul(
    x,
    weight.array,
    scales.array,
    biases?.array ?? null,
    true,
    groupSize,
    bits,
    modeNumber(quantization),
  );
}

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

/** A weight in the layout of our CPU primitive: dense, or with quantized levels. */
export class PackedLinear implements Linear {
  readonly #packed: Parameter;
  readonly #bias: Parameter | null;
  readonly #outDim: number;
  /** Of quantized levels; of a dense weight zeros. */
  readonly #group: number;
  readonly #bits: number;

  constructor(packed: Parameter, bias: Parameter | null, outDim: number, quantization: Quantization | null = null) {
    this.#packed = packed;
    this.#bias = bias;
    this.#outDim = outDim;
    this.#group = quantization?.groupSize ?? 0;
    this.#bits = quantization?.bits ?? 0;
  }

  forward(x: MxArray): MxArray {
    return mx.cpuLinear(x, this.#packed.array, this.#bias?.array ?? null, this.#outDim, this.#group, this.#bits);
  }

  #isLike(other: PackedLinear): boolean {
    return this.#group === other.#group && this.#bits === other.#bits;
  }

  /** What all of them make of x, in one operation; null when they are of different kinds. */
  static forwardAll(layers: readonly PackedLinear[], x: MxArray): MxArray[] | null {
    const kind = layers[0]!;
    const biases = layers.flatMap((layer) => layer.#bias?.array ?? []);
    if (!layers.every((layer) => layer.#isLike(kind)) || (biases.length > 0 && biases.length < layers.length)) return null;
    const packed = layers.map((layer) => layer.#packed.array);
    const sizes = layers.map((layer) => layer.#outDim);
    const first = mx.cpuLinears(x, packed, biases, sizes, kind.#group, kind.#bits);
    return layers.map((_, i) => (i === 0 ? first : mx.output(first, i)));
  }

  /** act(gate(x)) * up(x) in one operation, act being silu or gelu's approximation; null when they are of different kinds or have biases. */
  static forwardGated(gate: PackedLinear, up: PackedLinear, x: MxArray, gelu: boolean): MxArray | null {
    if (!gate.#isLike(up) || gate.#outDim !== up.#outDim || gate.#bias || up.#bias) return null;
    return mx.cpuGatedLinear(x, gate.#packed.array, up.#packed.array, gate.#outDim, gate.#group, gate.#bits, gelu);
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

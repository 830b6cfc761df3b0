/** Token vectors, and the same matrix as output head where it is tied. */
import type { Dtype } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { type QuantizedWeight, quantizedMatmul } from "./linear.ts";
import type { Parameter } from "./parameter.ts";
import { modeNumber, type Quantization } from "./quantization.ts";

export interface Embedding {
  /** ids int32 [T] to [T, dim] */
  forward(ids: MxArray): MxArray;
  /** x [T, dim] to scores [T, vocab] */
  asLinear(x: MxArray): MxArray;
}

export class DenseEmbedding implements Embedding {
  readonly #weight: Parameter;
  readonly #dtype: Dtype | null;

  /** `dtype`: what its rows become when they are read. */
  constructor(weight: Parameter, dtype: Dtype | null = null) {
    this.#weight = weight;
    this.#dtype = dtype;
  }

  forward(ids: MxArray): MxArray {
    const rows = mx.take(this.#weight.array, ids, 0);
    return this.#dtype === null ? rows : mx.astype(rows, this.#dtype);
  }

  asLinear(x: MxArray): MxArray {
    return mx.matmul(x, mx.transpose(this.#weight.array, [1, 0]));
  }
}

/** In the layout of our CPU primitive, rows are read from it as well. */
export class PackedEmbedding implements Embedding {
  readonly #packed: Parameter;
  readonly #rows: number;

  constructor(packed: Parameter, rows: number) {
    this.#packed = packed;
    this.#rows = rows;
  }

  forward(ids: MxArray): MxArray {
    return mx.cpuRows(this.#packed.array, ids);
  }

  asLinear(x: MxArray): MxArray {
    return mx.cpuLinear(x, this.#packed.array, null, this.#rows, 0, 0);
  }
}

export class PackedQuantizedEmbedding implements Embedding {
  readonly #packed: Parameter;
  readonly #rows: number;
  readonly #dim: number;
  readonly #quantization: Quantization;

  constructor(packed: Parameter, rows: number, dim: number, quantization: Quantization) {
    this.#packed = packed;
    this.#rows = rows;
    this.#dim = dim;
    this.#quantization = quantization;
  }

  forward(ids: MxArray): MxArray {
    const { groupSize, bits } = this.#quantization;
    return mx.cpuQuantizedRows(this.#packed.array, ids, this.#dim, groupSize, bits);
  }

  asLinear(x: MxArray): MxArray {
    const { groupSize, bits } = this.#quantization;
    return mx.cpuLinear(x, this.#packed.array, null, this.#rows, groupSize, bits);
  }
}

export class QuantizedEmbedding implements Embedding {
  readonly #weight: QuantizedWeight;
  readonly #dtype: Dtype;

  constructor(weight: QuantizedWeight, dtype: Dtype) {
    this.#weight = weight;
    this.#dtype = dtype;
  }

  forward(ids: MxArray): MxArray {
    const { weight, scales, biases, quantization } = this.#weight;
    const rows = (p: Parameter) => mx.take(p.array, ids, 0);
    const { groupSize, bits } = quantization;
    return mx.dequantize(
      rows(weight),
      rows(scales),
      biases && rows(biases),
      groupSize,
      bits,
      modeNumber(quantization),
      this.#dtype,
    );
  }

  asLinear(x: MxArray): MxArray {
    return quantizedMatmul(x, this.#weight);
  }
}

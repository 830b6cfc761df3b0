/** Weight matrices as a checkpoint has them: numbers, quantized, or numbers that are quantized while they are loaded. */

import { DTYPES, type Dtype } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { modeNumber, type Quantization } from "../nn/quantization.ts";
import type { ExpectedTensor } from "./audit.ts";
import type { QuantizationConfig } from "./quantization-config.ts";
import { FLOAT_DTYPES, type SafetensorsDtype } from "./safetensors.ts";
import type { TensorSet } from "./tensor-set.ts";

/** A quantized matrix with its scales and, in affine mode, offsets. */
export interface QuantizedParts {
  weight: MxArray;
  scales: MxArray;
  biases: MxArray | null;
}

/** Quantization of what the checkpoint has dense, in affine groups of 64. */
export interface QuantizeOnLoad {
  bits: 4 | 8;
  /** Modules that get 8 bits in any case. */
  precise: readonly RegExp[];
}

/** Reads a tensor; `asStored`: floating-point numbers stay of the type that the file has. */
export type ReadTensor = (name: string, asStored?: boolean) => MxArray;

const GROUP = 64;

/** One matrix [out, in], or a stack of them [..., out, in]. */
export class Matrix {
  readonly prefix: string;
  readonly shape: readonly number[];
  /** Null: it stays dense. */
  readonly quantization: Quantization | null;
  /** What the checkpoint must have for it. */
  readonly expected: readonly ExpectedTensor[];
  /** The checkpoint has it dense, its quantization is made when it is read. */
  readonly onLoad: boolean;
  readonly #read: ReadTensor;

  constructor(prefix: string, shape: readonly number[], quantization: Quantization | null, onLoad: boolean, read: ReadTensor) {
    this.prefix = prefix;
    this.shape = shape;
    this.quantization = quantization;
    this.onLoad = onLoad;
    this.#read = read;
    this.expected = quantization && !onLoad ? this.#quantizedTensors(quantization) : [this.#denseTensor()];
  }

  get numbers(): number {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  /** Names of the parts; one name for a dense matrix. */
  get names(): string[] {
    const parts =
      this.quantization === null ? ["weight"] : ["weight", "scales", ...(this.quantization.mode === "affine" ? ["biases"] : [])];
    return parts.map((part) => `${this.prefix}.${part}`);
  }

  /** Bytes of the parts, with numbers and scales of so many bytes. */
  bytes(numberBytes: number): number {
    if (this.quantization === null) return this.numbers * numberBytes;
    const { mode, bits, groupSize } = this.quantization;
    const scaleBytes = mode === "affine" ? 2 * numberBytes : 1;
    return (this.numbers * bits) / 8 + (this.numbers / groupSize) * scaleBytes;
  }

  /** Only for a quantized matrix. Within a scope. */
  parts(): QuantizedParts {
    const { mode, bits, groupSize } = this.quantization!;
    if (this.onLoad) {
      const weight = mx.quantize(this.#read(`${this.prefix}.weight`, true), groupSize, bits);
      return { weight, scales: mx.output(weight, 1), biases: mx.output(weight, 2) };
    }
    const part = (name: string) => this.#read(`${this.prefix}.${name}`);
    return { weight: part("weight"), scales: part("scales"), biases: mode === "affine" ? part("biases") : null };
  }

  /** The numbers; `dtype`: of those that were quantized, where they are not exact in bfloat16. Within a scope. */
  dense(dtype: Dtype, asStored = false): MxArray {
    if (this.quantization === null) return this.#read(`${this.prefix}.weight`, asStored);
    const { bits, groupSize, mode } = this.quantization;
    const { weight, scales, biases } = this.parts();
    // The floating-point modes have so few digits that bfloat16 holds them exactly.
    const type = mode === "affine" ? dtype : DTYPES.bfloat16;
    return mx.dequantize(weight, scales, biases, groupSize, bits, modeNumber(this.quantization), type);
  }

  #denseTensor(): ExpectedTensor {
    return { name: `${this.prefix}.weight`, shape: this.shape, dtypes: FLOAT_DTYPES };
  }

  #quantizedTensors({ mode, bits, groupSize }: Quantization): ExpectedTensor[] {
    const rows = this.shape.slice(0, -1);
    const columns = this.shape.at(-1)!;
    const scales = [...rows, columns / groupSize];
    const scaleTypes: readonly SafetensorsDtype[] = mode === "affine" ? FLOAT_DTYPES : ["U8", "F8_E4M3", "F8_E8M0"];
    const list: ExpectedTensor[] = [
      { name: `${this.prefix}.weight`, shape: [...rows, (columns * bits) / 32], dtypes: ["U32"] },
      { name: `${this.prefix}.scales`, shape: scales, dtypes: scaleTypes },
    ];
    if (mode === "affine") list.push({ name: `${this.prefix}.biases`, shape: scales, dtypes: FLOAT_DTYPES });
    return list;
  }
}

/** Finds out how each matrix is stored. */
export class MatrixFinder {
  readonly #tensors: TensorSet;
  readonly #config: QuantizationConfig;
  readonly #onLoad: QuantizeOnLoad | null;
  readonly #read: ReadTensor;

  constructor(tensors: TensorSet, config: QuantizationConfig, onLoad: QuantizeOnLoad | null, read: ReadTensor) {
    this.#tensors = tensors;
    this.#config = config;
    this.#onLoad = onLoad;
    this.#read = read;
  }

  /** The matrix of the module at `prefix`, [..., out, in] as the model knows it. Throws `StartupError`. */
  find(prefix: string, shape: readonly number[]): Matrix {
    const columns = shape.at(-1)!;
    const weight = this.#tensors.get(`${prefix}.weight`);
    const scales = this.#tensors.get(`${prefix}.scales`);
    if (weight && scales) {
      const origin = this.#tensors.originOf(`${prefix}.weight`)!.replace(/\.weight$/, "");
      const quantization = this.#config.of(prefix, [prefix, origin], columns, weight, scales);
      return new Matrix(prefix, shape, quantization, false, this.#read);
    }
    // mlx-lm leaves matrices dense whose rows are not whole groups, and gates whose scores are corrected.
    const corrected = this.#tensors.has(`${prefix}.e_score_correction_bias`);
    if (this.#onLoad === null || columns % GROUP !== 0 || corrected) return new Matrix(prefix, shape, null, false, this.#read);
    const bits = this.#onLoad.precise.some((pattern) => prefix.search(pattern) >= 0) ? 8 : this.#onLoad.bits;
    return new Matrix(prefix, shape, { mode: "affine", bits, groupSize: GROUP }, true, this.#read);
  }
}

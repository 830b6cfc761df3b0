/** From declared parameters to arrays: what a model asks for is checked against the checkpoint as a whole, then read. */
import { byteLengthOf, dtypeOf, evaluate, fromFile, keep, release, scope } from "../mlx/array.ts";
import { DTYPES, type Dtype } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import {
  DenseEmbedding,
  type Embedding,
  PackedEmbedding,
  PackedQuantizedEmbedding,
  QuantizedEmbedding,
} from "../nn/embedding.ts";
import {
  DenseLinear,
  type Linear,
  PackedLinear,
  PackedQuantizedLinear,
  QuantizedLinear,
  type QuantizedWeight,
} from "../nn/linear.ts";
import { RmsNorm } from "../nn/norm.ts";
import { Parameter } from "../nn/parameter.ts";
import { modeNumber, type Quantization } from "../nn/quantization.ts";
import { AdapterSet } from "./adapter-set.ts";
import { type ExpectedTensor, matchTensors } from "./audit.ts";
import type { ConfigReader } from "./model-config.ts";
import { QuantizationConfig } from "./quantization-config.ts";
import type { TensorInfo } from "./safetensors.ts";
import type { TensorSet } from "./tensor-set.ts";

export interface WeightOptions {
  /** Floating-point tensors become this; null keeps the checkpoint's own. */
  dtype: Dtype | null;
  /** Matrices are laid out for our CPU primitives. */
  packed: boolean;
  /** Updates of linear layers. */
  adapters?: AdapterSet;
}

const FLOATS: ReadonlySet<string> = new Set(["float16", "bfloat16", "float32", "float64"]);
const FLOAT_TYPES: ReadonlySet<Dtype> = new Set([DTYPES.float16, DTYPES.bfloat16, DTYPES.float32, DTYPES.float64]);

function readStored({ path, offset, byteLength, mlxDtype, shape }: TensorInfo): MxArray {
  return fromFile(path, offset, byteLength, DTYPES[mlxDtype!], shape as number[]);
}

export class Weights {
  readonly #tensors: TensorSet;
  readonly #options: WeightOptions;
  readonly #quantization: QuantizationConfig;
  readonly #adapters: AdapterSet;
  readonly #expected: ExpectedTensor[] = [];
  readonly #pending: { parameter: Parameter; read: () => MxArray }[] = [];

  constructor(tensors: TensorSet, config: ConfigReader, options: WeightOptions) {
    this.#tensors = tensors;
    this.#options = options;
    this.#quantization = new QuantizationConfig(config);
    this.#adapters = options.adapters ?? new AdapterSet([]);
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** What was asked for, else the type of the first floating-point tensor. */
  activationDtype(): Dtype {
    if (this.#options.dtype !== null) return this.#options.dtype;
    const stored = [...this.#tensors.infos().values()].find(({ mlxDtype }) => mlxDtype !== null && FLOATS.has(mlxDtype));
    return stored?.mlxDtype ? DTYPES[stored.mlxDtype] : DTYPES.float32;
  }

  /** One tensor under the checkpoint's name, its shape as the model knows it; `change` is applied once, when it is read. */
  tensor(name: string, shape: readonly number[], change?: (array: MxArray) => MxArray): Parameter {
    this.#expected.push({ name, shape });
    return this.#declare(name, () => (change ? change(this.#read(name)) : this.#read(name)));
  }

  norm(prefix: string, dim: number, eps: number, change?: (weight: MxArray) => MxArray): RmsNorm {
    return new RmsNorm(this.tensor(`${prefix}.weight`, [dim], change), eps);
  }

  /** With the updates that adapters have for it. */
  linear(prefix: string, inDim: number, outDim: number, bias: boolean): Linear {
    const layer = this.#plainLinear(prefix, inDim, outDim, bias);
    return this.#adapters.wrap(prefix, inDim, outDim, layer, (name, read) => this.#declare(name, read));
  }

  #plainLinear(prefix: string, inDim: number, outDim: number, bias: boolean): Linear {
    const biasParameter = bias ? this.tensor(`${prefix}.bias`, [outDim]) : null;
    const quantization = this.#quantizationOf(prefix, inDim);
    if (quantization && !this.#options.packed) {
      return new QuantizedLinear(this.#quantizedWeight(prefix, inDim, outDim, quantization), biasParameter);
    }
    if (this.#options.packed) return this.#packedLinear(prefix, inDim, outDim, quantization, biasParameter);
    const read = this.#denseReader(prefix, inDim, outDim, quantization);
    return new DenseLinear(
      this.#declare(`${prefix}.weight`, () => mx.transpose(read(), [1, 0])),
      biasParameter,
    );
  }

  embedding(prefix: string, rows: number, dim: number): Embedding {
    const quantization = this.#quantizationOf(prefix, dim);
    if (quantization && !this.#options.packed) {
      return new QuantizedEmbedding(this.#quantizedWeight(prefix, dim, rows, quantization), this.activationDtype());
    }
    if (this.#options.packed) return this.#packedEmbedding(prefix, rows, dim, quantization);
    const read = this.#denseReader(prefix, dim, rows, quantization);
    return new DenseEmbedding(this.#declare(`${prefix}.weight`, read));
  }

  /** Throws one `StartupError` that names everything missing, surplus or misshapen. */
  check(where: string, ignore: readonly RegExp[]): void {
    matchTensors(this.#expected, this.#tensors.infos(), { where, ignore });
    this.#adapters.check();
  }

  /** Bytes of what is loaded. */
  get bytes(): number {
    return this.#pending.reduce((sum, { parameter }) => sum + (parameter.loaded ? byteLengthOf(parameter.array) : 0), 0);
  }

  /** Reads all declared parameters, one after the other, leaving the event loop free in between. Call `check` before. */
  async load(onProgress?: (done: number, total: number) => void): Promise<void> {
    for (const [index, { parameter, read }] of this.#pending.entries()) {
      scope(() => {
        const array = read();
        evaluate(array);
        parameter.fill(keep(array));
      });
      onProgress?.(index + 1, this.#pending.length);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Gives back everything that was loaded. */
  free(): void {
    for (const { parameter } of this.#pending) {
      if (!parameter.loaded) continue;
      release(parameter.array);
      parameter.fill(null);
    }
  }

  #declare(name: string, read: () => MxArray): Parameter {
    const parameter = new Parameter(name);
    this.#pending.push({ parameter, read });
    return parameter;
  }

  /** As stored, floating-point numbers converted to the type that was asked for. */
  #read(name: string, asStored = false): MxArray {
    const array = this.#tensors.read(name, readStored);
    const { dtype } = this.#options;
    return !asStored && dtype !== null && FLOAT_TYPES.has(dtypeOf(array)) && dtypeOf(array) !== dtype
      ? mx.astype(array, dtype)
      : array;
  }

  #quantizationOf(prefix: string, inDim: number): Quantization | null {
    const scales = this.#tensors.get(`${prefix}.scales`);
    const weight = this.#tensors.get(`${prefix}.weight`);
    if (!scales || !weight) return null;
    return this.#quantization.of(prefix, inDim, weight, scales);
  }

  #expectQuantized(prefix: string, inDim: number, outDim: number, { mode, groupSize, bits }: Quantization): void {
    const groups = [outDim, inDim / groupSize];
    this.#expected.push({ name: `${prefix}.weight`, shape: [outDim, (inDim * bits) / 32], dtypes: ["U32"] });
    this.#expected.push({ name: `${prefix}.scales`, shape: groups });
    if (mode === "affine") this.#expected.push({ name: `${prefix}.biases`, shape: groups });
  }

  #quantizedWeight(prefix: string, inDim: number, outDim: number, quantization: Quantization): QuantizedWeight {
    this.#expectQuantized(prefix, inDim, outDim, quantization);
    const part = (name: string) => this.#declare(name, () => this.#read(name));
    return {
      weight: part(`${prefix}.weight`),
      scales: part(`${prefix}.scales`),
      biases: quantization.mode === "affine" ? part(`${prefix}.biases`) : null,
      quantization,
    };
  }

  #packedLinear(
    prefix: string,
    inDim: number,
    outDim: number,
    quantization: Quantization | null,
    bias: Parameter | null,
  ): Linear {
    if (quantization?.mode === "affine") {
      return new PackedQuantizedLinear(this.#packedQuantized(prefix, inDim, outDim, quantization), bias, outDim, quantization);
    }
    return new PackedLinear(this.#packedDense(prefix, inDim, outDim, quantization), bias, outDim);
  }

  #packedEmbedding(prefix: string, rows: number, dim: number, quantization: Quantization | null): Embedding {
    if (quantization?.mode === "affine") {
      return new PackedQuantizedEmbedding(this.#packedQuantized(prefix, dim, rows, quantization), rows, dim, quantization);
    }
    return new PackedEmbedding(this.#packedDense(prefix, dim, rows, quantization), rows);
  }

  #packedDense(prefix: string, inDim: number, outDim: number, quantization: Quantization | null): Parameter {
    const read = this.#denseReader(prefix, inDim, outDim, quantization);
    return this.#declare(`${prefix}.weight`, () => mx.cpuPack(read()));
  }

  #packedQuantized(prefix: string, inDim: number, outDim: number, quantization: Quantization): Parameter {
    this.#expectQuantized(prefix, inDim, outDim, quantization);
    const { groupSize, bits } = quantization;
    return this.#declare(`${prefix}.weight`, () => {
      const part = (name: string) => this.#read(`${prefix}.${name}`);
      return mx.cpuQuantizedPack(part("weight"), part("scales"), part("biases"), inDim, groupSize, bits);
    });
  }

  /** Reads [outDim, inDim], dequantized where it is stored quantized. */
  #denseReader(prefix: string, inDim: number, outDim: number, quantization: Quantization | null): () => MxArray {
    const name = `${prefix}.weight`;
    if (!quantization) {
      this.#expected.push({ name, shape: [outDim, inDim] });
      // The CPU primitive reads bfloat16 as it is.
      return () => this.#read(name, this.#options.packed);
    }
    this.#expectQuantized(prefix, inDim, outDim, quantization);
    const { groupSize, bits, mode } = quantization;
    return () => {
      const scales = this.#read(`${prefix}.scales`);
      const biases = mode === "affine" ? this.#read(`${prefix}.biases`) : null;
      // The floating-point modes have so few digits that bfloat16 holds them exactly.
      const dtype = mode === "affine" ? this.activationDtype() : DTYPES.bfloat16;
      return mx.dequantize(this.#read(name), scales, biases, groupSize, bits, modeNumber(quantization), dtype);
    };
  }
}

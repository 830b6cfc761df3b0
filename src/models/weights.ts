/** From declared parameters to arrays: what a model asks for is checked against the checkpoint as a whole, then read. */
import { dtypeOf, fromFile } from "../mlx/array.ts";
import { DTYPES, type Dtype, dtypeBytes } from "../mlx/dtype.ts";
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
  DenseExperts,
  type ExpertLinear,
  type ExpertShape,
  PackedExperts,
  PackedQuantizedExperts,
  QuantizedExperts,
} from "../nn/experts.ts";
import { DenseLinear, type Linear, PackedLinear, QuantizedLinear, type QuantizedWeight } from "../nn/linear.ts";
import { RmsNorm } from "../nn/norm.ts";
import { packedBytes, packedQuantizedBytes } from "../nn/packing.ts";
import type { Parameter } from "../nn/parameter.ts";
import { isPackable, type Quantization } from "../nn/quantization.ts";
import { AdapterSet } from "./adapter-set.ts";
import { type ExpectedTensor, matchTensors } from "./audit.ts";
import { type Matrix, MatrixFinder, type QuantizeOnLoad } from "./matrix.ts";
import type { ConfigReader } from "./model-config.ts";
import { type LoadProgress, ParameterList } from "./parameter-list.ts";
import { QuantizationConfig } from "./quantization-config.ts";
import { FLOAT_DTYPES, type TensorInfo } from "./safetensors.ts";
import type { TensorSet } from "./tensor-set.ts";

export interface WeightOptions {
  /** Floating-point tensors become this; null keeps the checkpoint's own. */
  dtype: Dtype | null;
  /** Matrices are laid out for our CPU primitives. */
  packed: boolean;
  /** Updates of linear layers. */
  adapters?: AdapterSet;
  /** Dense matrices are quantized when they are read. */
  quantize?: QuantizeOnLoad | null;
}

const FLOAT_TYPES: ReadonlySet<Dtype> = new Set([DTYPES.float16, DTYPES.bfloat16, DTYPES.float32, DTYPES.float64]);

function readStored({ path, offset, byteLength, mlxDtype, shape }: TensorInfo): MxArray {
  return fromFile(path, offset, byteLength, DTYPES[mlxDtype!], shape as number[]);
}

export class Weights {
  readonly #tensors: TensorSet;
  readonly #options: WeightOptions;
  readonly #adapters: AdapterSet;
  readonly #matrices: MatrixFinder;
  readonly #dtype: Dtype;
  readonly #expected: ExpectedTensor[] = [];
  readonly #parameters = new ParameterList();
  /** What the model is made of, for those who want to know. */
  readonly matrices: Matrix[] = [];
  #numbers = 0;
  #storedBytes = 0;

  constructor(tensors: TensorSet, config: ConfigReader, options: WeightOptions) {
    this.#tensors = tensors;
    this.#options = options;
    this.#adapters = options.adapters ?? new AdapterSet([]);
    this.#matrices = new MatrixFinder(tensors, new QuantizationConfig(config), options.quantize ?? null, (name, asStored) =>
      this.#read(name, asStored),
    );
    this.#dtype = options.dtype ?? mainFloat(tensors);
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** What was asked for, else the type of most floating-point numbers. */
  activationDtype(): Dtype {
    return this.#dtype;
  }

  /** Numbers of the model; a quantized one counts as one. */
  get numbers(): number {
    return this.#numbers;
  }

  /** Bytes of what the checkpoint has of it, or would have of what is quantized while it is read. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Bytes in memory of everything that is declared. */
  get plannedBytes(): number {
    return this.#parameters.plannedBytes;
  }

  /** Bytes of what is loaded. */
  get bytes(): number {
    return this.#parameters.bytes;
  }

  /** One tensor under the checkpoint's name, its shape as the model knows it; `change` is applied once, when it is read. */
  tensor(name: string, shape: readonly number[], change?: (array: MxArray) => MxArray): Parameter {
    this.#expected.push({ name, shape, dtypes: FLOAT_DTYPES });
    const numbers = shape.reduce((product, size) => product * size, 1);
    this.#numbers += numbers;
    this.#storedBytes += this.#tensors.get(name)?.byteLength ?? 0;
    const bytes = numbers * dtypeBytes(this.#dtypeOf(name));
    return this.#parameters.declare(name, bytes, () => (change ? change(this.#read(name)) : this.#read(name)));
  }

  norm(prefix: string, dim: number, eps: number, change?: (weight: MxArray) => MxArray): RmsNorm {
    return new RmsNorm(this.tensor(`${prefix}.weight`, [dim], change), eps);
  }

  /** With the updates that adapters have for it. */
  linear(prefix: string, inDim: number, outDim: number, bias: boolean): Linear {
    const layer = this.#plainLinear(prefix, inDim, outDim, bias);
    return this.#adapters.wrap(prefix, inDim, outDim, layer, (name, bytes, read) => this.#parameters.declare(name, bytes, read));
  }

  #plainLinear(prefix: string, inDim: number, outDim: number, bias: boolean): Linear {
    const biasParameter = bias ? this.tensor(`${prefix}.bias`, [outDim]) : null;
    const matrix = this.#matrix(prefix, [outDim, inDim]);
    const { quantization } = matrix;
    if (this.#options.packed) {
      if (!isPackable(quantization)) return new PackedLinear(this.#packed(matrix), biasParameter, outDim);
      return new PackedLinear(this.#packedQuantized(matrix, quantization), biasParameter, outDim, quantization);
    }
    if (quantization) return new QuantizedLinear(this.#quantized(matrix, quantization), biasParameter);
    return new DenseLinear(
      this.#dense(matrix, (array) => mx.transpose(array, [1, 0])),
      biasParameter,
    );
  }

  /** The linear layers of many experts, stacked: [count, outDim, inDim], and a bias [count, outDim]. */
  experts(prefix: string, { count, inDim, outDim, bias }: ExpertShape & { inDim: number; bias: boolean }): ExpertLinear {
    const biasParameter = bias ? this.tensor(`${prefix}.bias`, [count, outDim]) : null;
    const matrix = this.#matrix(prefix, [count, outDim, inDim]);
    const { quantization } = matrix;
    const shape = { count, outDim };
    if (this.#options.packed) {
      if (!isPackable(quantization)) return new PackedExperts(this.#packed(matrix), biasParameter, shape);
      return new PackedQuantizedExperts(this.#packedQuantized(matrix, quantization), biasParameter, shape, quantization);
    }
    if (quantization) return new QuantizedExperts(this.#quantized(matrix, quantization), biasParameter);
    return new DenseExperts(
      this.#dense(matrix, (array) => mx.transpose(array, [0, 2, 1])),
      biasParameter,
    );
  }

  /** `head`: whether it may be multiplied by too, which on the CPU asks for another layout. */
  embedding(prefix: string, rows: number, dim: number, { head = true } = {}): Embedding {
    this.#adapters.refuseEmbedding(prefix);
    const matrix = this.#matrix(prefix, [rows, dim]);
    const { quantization } = matrix;
    if (this.#options.packed && head) {
      if (!isPackable(quantization)) return new PackedEmbedding(this.#packed(matrix), rows);
      return new PackedQuantizedEmbedding(this.#packedQuantized(matrix, quantization), rows, dim, quantization);
    }
    if (quantization) return new QuantizedEmbedding(this.#quantized(matrix, quantization), this.activationDtype());
    if (!head) return new DenseEmbedding(this.#asStored(matrix), this.activationDtype());
    return new DenseEmbedding(this.#dense(matrix, (array) => array));
  }

  /** Throws one `StartupError` that names everything missing, surplus or misshapen. */
  check(where: string, ignore: readonly RegExp[]): void {
    matchTensors(this.#expected, this.#tensors.infos(), { where, ignore });
    this.#adapters.check();
  }

  /** Reads all declared parameters, one after the other, leaving the event loop free in between. Call `check` before. */
  load(onProgress?: LoadProgress): Promise<void> {
    return this.#parameters.load(onProgress);
  }

  /** Gives back everything that was loaded. */
  free(): void {
    this.#parameters.free();
  }

  /** Declares what the checkpoint must have for the module at `prefix`: [out, in], or a stack of such. */
  #matrix(prefix: string, shape: readonly number[]): Matrix {
    const matrix = this.#matrices.find(prefix, shape);
    this.#expected.push(...matrix.expected);
    this.#numbers += matrix.numbers;
    const stored = matrix.expected.map(({ name }) => this.#tensors.get(name)?.byteLength ?? 0);
    this.#storedBytes += matrix.onLoad
      ? matrix.bytes(stored[0]! / matrix.numbers)
      : stored.reduce((sum, bytes) => sum + bytes, 0);
    this.matrices.push(matrix);
    return matrix;
  }

  /** As it is in the checkpoint, for MLX's own operations. */
  #dense(matrix: Matrix, change: (array: MxArray) => MxArray): Parameter {
    const name = `${matrix.prefix}.weight`;
    const bytes = matrix.numbers * dtypeBytes(this.#dtypeOf(name));
    return this.#parameters.declare(name, bytes, () => change(matrix.dense(this.#dtype)));
  }

  #asStored(matrix: Matrix): Parameter {
    const name = `${matrix.prefix}.weight`;
    const bytes = this.#tensors.get(name)?.byteLength ?? 0;
    return this.#parameters.declare(name, bytes, () => matrix.dense(this.#dtype, true));
  }

  #quantized(matrix: Matrix, quantization: Quantization): QuantizedWeight {
    const bytes = matrix.bytes(dtypeBytes(this.#dtype));
    const [weight, scales, biases = null] = this.#parameters.declareTogether(matrix.names, bytes, () => {
      const parts = matrix.parts();
      return parts.biases === null ? [parts.weight, parts.scales] : [parts.weight, parts.scales, parts.biases];
    });
    return { weight: weight!, scales: scales!, biases, quantization };
  }

  /** In the layout of our CPU primitive, which reads bfloat16 as it is. */
  #packed(matrix: Matrix): Parameter {
    const name = `${matrix.prefix}.weight`;
    const half = matrix.quantization !== null || this.#tensors.get(name)?.dtype === "BF16";
    return this.#parameters.declare(name, packedBytes(matrix.shape, half ? 2 : 4), () =>
      mx.cpuPack(matrix.dense(this.#dtype, true)),
    );
  }

  #packedQuantized(matrix: Matrix, quantization: Quantization): Parameter {
    const { groupSize, bits } = quantization;
    return this.#parameters.declare(`${matrix.prefix}.weight`, packedQuantizedBytes(matrix.shape, quantization), () => {
      const { weight, scales, biases } = matrix.parts();
      const columns = matrix.shape.at(-1)!;
      if (biases === null) return mx.cpuFloatPack(weight, scales, columns, groupSize);
      return mx.cpuQuantizedPack(weight, scales, biases, columns, groupSize, bits);
    });
  }

  /** The type of a tensor once it is read. */
  #dtypeOf(name: string): Dtype {
    const stored = this.#tensors.get(name)?.mlxDtype;
    return this.#options.dtype ?? (stored && stored !== "float64" ? DTYPES[stored] : DTYPES.float32);
  }

  /** Floating-point numbers become of the type that was asked for; float64, which GPUs lack, becomes float32 in any case. */
  #read(name: string, asStored = false): MxArray {
    const array = this.#tensors.read(name, readStored);
    const stored = dtypeOf(array);
    const wanted = stored === DTYPES.float64 ? DTYPES.float32 : asStored ? stored : (this.#options.dtype ?? stored);
    return FLOAT_TYPES.has(stored) && stored !== wanted ? mx.astype(array, wanted) : array;
  }
}

/** The type that most floating-point numbers of the checkpoint have. */
function mainFloat(tensors: TensorSet): Dtype {
  const counts = new Map<Dtype, number>();
  for (const { dtype, mlxDtype, byteLength } of tensors.infos().values()) {
    if (mlxDtype === null || !FLOAT_DTYPES.includes(dtype)) continue;
    const type = mlxDtype === "float64" ? DTYPES.float32 : DTYPES[mlxDtype];
    counts.set(type, (counts.get(type) ?? 0) + byteLength / dtypeBytes(DTYPES[mlxDtype]));
  }
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  return most?.[0] ?? DTYPES.float32;
}

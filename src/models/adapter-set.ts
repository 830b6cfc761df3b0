/** All adapters of a model, stacked layer by layer. */
import { StartupError } from "../errors.ts";
import { fromFile, scalar } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Linear } from "../nn/linear.ts";
import { LoraLinear } from "../nn/lora.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { Adapter, AdapterTensor, LowRankUpdate } from "./adapter.ts";
import { canonicalModule } from "./module-names.ts";
import { shapeText } from "./safetensors.ts";
import { listSome, quote } from "./wording.ts";

export class AdapterSet {
  /** With canonical names: an adapter may have been made for another nesting of the model. */
  readonly #adapters: readonly Adapter[];
  readonly #known = new Set<string>();

  constructor(adapters: readonly Adapter[]) {
    this.#adapters = adapters.map(({ path, updates }) => {
      const named = new Map([...updates].map(([module, update]) => [canonicalModule(module), update]));
      if (named.size < updates.size) throw new StartupError(`${path} has two updates of one module`);
      return { path, updates: named };
    });
  }

  /** The layer with every adapter's update of it; the layer itself where there is none. Throws `StartupError` for a misfit. */
  wrap(
    module: string,
    inDim: number,
    outDim: number,
    layer: Linear,
    declare: (name: string, bytes: number, read: () => MxArray) => Parameter,
  ): Linear {
    const name = canonicalModule(module);
    this.#known.add(name);
    const updates = this.#adapters.map(({ path, updates }) => {
      const update = updates.get(name) ?? null;
      if (update) checkFit(update, inDim, outDim, path);
      return update;
    });
    const rank = Math.max(0, ...updates.map((update) => update?.rank ?? 0));
    if (rank === 0) return layer;
    const bytes = (dim: number) => (updates.length + 1) * dim * rank * 4;
    const a = declare(`${module}.lora_a`, bytes(inDim), () => stack(updates, [inDim, rank], (update) => readA(update, rank)));
    const b = declare(`${module}.lora_b`, bytes(outDim), () => stack(updates, [rank, outDim], (update) => readB(update, rank)));
    return new LoraLinear(layer, a, b);
  }

  /** Throws `StartupError` when an adapter has an update of the embedding at `module`. */
  refuseEmbedding(module: string): void {
    for (const { path, updates } of this.#adapters) {
      if (!updates.has(canonicalModule(module))) continue;
      throw new StartupError(`${path} has an update of the embedding ${quote(module)}: only linear layers can have one`);
    }
  }

  /** Throws `StartupError` naming the modules that the model does not have. Call it when the model is built. */
  check(): void {
    for (const { path, updates } of this.#adapters) {
      const unknown = [...updates].filter(([module]) => !this.#known.has(module)).map(([, { a }]) => quote(a.name));
      if (unknown.length === 0) continue;
      throw new StartupError(`${path} does not fit the model, which has no linear layers for ${listSome(unknown)}`);
    }
  }
}

function checkFit(
  { a, b, inDim, outDim, rank, transposed }: LowRankUpdate,
  modelIn: number,
  modelOut: number,
  path: string,
): void {
  const refuse = ({ name, info }: AdapterTensor, wanted: readonly number[]) => {
    const shape = shapeText(transposed ? wanted.toReversed() : wanted);
    throw new StartupError(
      `${path} does not fit the model: tensor ${quote(name)} is ${shapeText(info.shape)}, but must be ${shape} here`,
    );
  };
  if (inDim !== modelIn) refuse(a, [modelIn, rank]);
  if (outDim !== modelOut) refuse(b, [rank, modelOut]);
}

/** float32 [updates + 1, ...shape], zero at 0 and where there is no update. */
function stack(
  updates: readonly (LowRankUpdate | null)[],
  shape: readonly number[],
  read: (update: LowRankUpdate) => MxArray,
): MxArray {
  const zero = zeros(shape);
  const matrices = [zero, ...updates.map((update) => (update ? read(update) : zero))];
  return mx.concatenate(
    matrices.map((matrix) => mx.expandDims(matrix, 0)),
    0,
  );
}

/** [in, rank]; a lower rank is filled up with zeros. */
function readA(update: LowRankUpdate, rank: number): MxArray {
  const a = readMatrix(update.a, update.transposed);
  return rank === update.rank ? a : mx.concatenate([a, zeros([update.inDim, rank - update.rank])], 1);
}

/** [rank, out], times the scale. */
function readB(update: LowRankUpdate, rank: number): MxArray {
  const b = mx.multiply(readMatrix(update.b, update.transposed), scalar(update.scale));
  return rank === update.rank ? b : mx.concatenate([b, zeros([rank - update.rank, update.outDim])], 0);
}

function readMatrix({ info }: AdapterTensor, transposed: boolean): MxArray {
  const { path, offset, byteLength, mlxDtype, shape } = info;
  const stored = mx.astype(fromFile(path, offset, byteLength, DTYPES[mlxDtype!], shape as number[]), DTYPES.float32);
  return transposed ? mx.transpose(stored, [1, 0]) : stored;
}

function zeros(shape: readonly number[]): MxArray {
  return mx.zeros([...shape], DTYPES.float32);
}

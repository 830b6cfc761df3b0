/** Loads a model directory: checkpoint, architecture, weights. */

import { StartupError } from "../errors.ts";
import { DTYPES, type Dtype } from "../mlx/dtype.ts";
import { currentDevice, MlxError } from "../mlx/ffi.ts";
import { type AdapterSource, readAdapter } from "./adapter.ts";
import { AdapterSet } from "./adapter-set.ts";
import { nameInnerModel } from "./bare-tensors.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { convertQuantization } from "./foreign-quantization.ts";
import type { QuantizeOnLoad } from "./matrix.ts";
import type { Architecture, LanguageModel } from "./model.ts";
import { ConfigReader } from "./model-config.ts";
import type { LoadProgress } from "./parameter-list.ts";
import { findArchitecture } from "./registry.ts";
import { TensorSet } from "./tensor-set.ts";
import { Weights } from "./weights.ts";
import { quote } from "./wording.ts";

export interface LoadedModel {
  model: LanguageModel;
  architecture: string;
  /** The type of activations and caches. */
  dtype: Dtype;
  /** Of all weights as loaded. */
  bytes: number;
  /** Names; the place in the list plus one is the adapter's number in a batch. */
  adapters: readonly string[];
  free(): void;
}

/** A model that is built and checked, and whose weights are still on the disk. */
export interface PreparedModel {
  /** The checkpoint's. */
  directory: string;
  model: LanguageModel;
  architecture: string;
  weights: Weights;
  adapters: readonly string[];
}

export interface LoadOptions {
  adapters?: readonly AdapterSource[];
  /** Dense weights are quantized to so many bits when they are read; null: they stay as they are. */
  quantize?: 4 | 8 | null;
  onProgress?: LoadProgress;
}

/** Routers stay at 8 bits, as mlx-lm has it: which experts are chosen depends on small differences. */
const ROUTERS = /(^|\.)(mlp\.gate|block_sparse_moe\.gate|feed_forward\.gate|router|router\.(proj|layer)|shared_expert_gate)$/;

/**
 * Checks config and tensors. MLX's CPU backend multiplies only float32 fast, so there weights become float32 when they are
 * loaded; elsewhere they stay as stored. Throws `StartupError`.
 */
export async function prepareModel(
  checkpoint: Checkpoint,
  { adapters = [], quantize = null }: LoadOptions = {},
): Promise<PreparedModel> {
  const config = new ConfigReader(checkpoint.config, "config.json");
  const name = config.string("model_type");
  const architecture = findArchitecture(name);
  const tensors = new TensorSet(checkpoint.tensors);
  nameInnerModel(tensors);
  convertQuantization(tensors, config);
  architecture.sanitize?.(tensors, config);
  const cpu = currentDevice() === "cpu";
  const weights = new Weights(tensors, config, {
    dtype: cpu ? DTYPES.float32 : null,
    packed: cpu,
    adapters: new AdapterSet(await Promise.all(adapters.map(({ path }) => readAdapter(path)))),
    quantize: quantize === null ? null : onLoad(quantize, tensors, architecture),
  });
  const model = architecture.build(config, weights);
  weights.check(checkpoint.directory, architecture.ignoredTensors ?? []);
  const names = adapters.map(({ name }) => name);
  return { directory: checkpoint.directory, model, architecture: name, weights, adapters: names };
}

/** Prepares a model and reads its weights. Throws `StartupError`. */
export async function loadModel(checkpoint: Checkpoint, options: LoadOptions = {}): Promise<LoadedModel> {
  return readModel(await prepareModel(checkpoint, options), options.onProgress);
}

/** Reads the weights of a prepared model. Throws `StartupError`. */
export async function readModel(prepared: PreparedModel, onProgress?: LoadProgress): Promise<LoadedModel> {
  const { directory, model, architecture, weights, adapters } = prepared;
  try {
    await weights.load(onProgress);
  } catch (error) {
    weights.free();
    if (error instanceof MlxError) throw new StartupError(`cannot load ${directory}: ${error.message}`, { cause: error });
    throw error;
  }
  return {
    model,
    architecture,
    dtype: weights.activationDtype(),
    bytes: weights.bytes,
    adapters,
    free: () => weights.free(),
  };
}

function onLoad(bits: 4 | 8, tensors: TensorSet, { precise }: Architecture): QuantizeOnLoad {
  const scales = tensors.names().find((name) => name.endsWith(".scales"));
  if (scales) {
    throw new StartupError(`the checkpoint is quantized already (it has ${quote(scales)}): load it without --quantize`);
  }
  return { bits, precise: precise ? [ROUTERS, precise] : [ROUTERS] };
}

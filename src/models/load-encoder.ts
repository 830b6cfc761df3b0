/** Loads an encoder's directory: checkpoint, architecture, weights, and what comes after the last layer. */
import { StartupError } from "../errors.ts";
import { DTYPES } from "../mlx/dtype.ts";
import { currentDevice, MlxError } from "../mlx/ffi.ts";
import type { Linear } from "../nn/linear.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { DenseModule } from "./embedding-modules.ts";
import type { EncoderModel } from "./encoder.ts";
import { ConfigReader } from "./model-config.ts";
import { findEncoder } from "./registry.ts";
import { type ModelSummary, summarizeModel } from "./summary.ts";
import { TensorSet } from "./tensor-set.ts";
import { Weights } from "./weights.ts";

export interface LoadedEncoder {
  model: EncoderModel;
  architecture: string;
  summary: ModelSummary;
  /** Of all weights as loaded. */
  bytes: number;
  free(): void;
}

/** A linear layer after the pooling. */
export interface DenseLayer {
  linear: Linear;
  outDim: number;
  activation: DenseModule["activation"];
}

/** Whether a checkpoint is of a model that makes embeddings and nothing else. */
export function isEncoder({ config }: Pick<Checkpoint, "config">): boolean {
  return typeof config.model_type === "string" && findEncoder(config.model_type) !== undefined;
}

/** An encoder that is built and checked, and whose weights are still on the disk. */
export interface PreparedEncoder {
  model: EncoderModel;
  architecture: string;
  weights: Weights;
}

/** Checks config and tensors. Throws `StartupError`. */
export function prepareEncoder(checkpoint: Checkpoint): PreparedEncoder {
  const config = new ConfigReader(checkpoint.config, "config.json");
  const name = config.string("model_type");
  const architecture = findEncoder(name);
  if (!architecture) throw new StartupError(`model type ${JSON.stringify(name)} is no encoder`);
  const tensors = new TensorSet(checkpoint.tensors);
  architecture.sanitize(tensors);
  const weights = new Weights(tensors, config, weightOptions());
  const model = architecture.build(config, weights);
  weights.check(checkpoint.directory, architecture.ignoredTensors);
  return { model, architecture: name, weights };
}

/** Prepares an encoder and reads its weights. Throws `StartupError`. */
export async function loadEncoder(checkpoint: Checkpoint): Promise<LoadedEncoder> {
  const { model, architecture, weights } = prepareEncoder(checkpoint);
  // Nothing is kept from pass to pass.
  const summary = summarizeModel({ model, architecture, weights }, 0);
  await read(weights, checkpoint.directory);
  return { model, architecture, summary, bytes: weights.bytes, free: () => weights.free() };
}

/** Reads the layers of `2_Dense` and the like. Throws `StartupError`. */
export async function loadDense(
  modules: readonly DenseModule[],
  directory: string,
): Promise<{ layers: DenseLayer[]; bytes: number; free(): void }> {
  const layers: DenseLayer[] = [];
  const loaded: Weights[] = [];
  for (const { inDim, outDim, bias, activation, tensors } of modules) {
    const weights = new Weights(new TensorSet(tensors), new ConfigReader({}, "config.json"), weightOptions());
    layers.push({ linear: weights.linear("linear", inDim, outDim, bias), outDim, activation });
    weights.check(`a Dense module of ${directory}`, []);
    await read(weights, directory);
    loaded.push(weights);
  }
  const bytes = loaded.reduce((sum, weights) => sum + weights.bytes, 0);
  const free = () => {
    for (const weights of loaded) weights.free();
  };
  return { layers, bytes, free };
}

/** As for language models: float32 and packed on the CPU, as stored on a GPU. */
function weightOptions() {
  const cpu = currentDevice() === "cpu";
  return { dtype: cpu ? DTYPES.float32 : null, packed: cpu };
}

async function read(weights: Weights, directory: string): Promise<void> {
  try {
    await weights.load();
  } catch (error) {
    weights.free();
    if (error instanceof MlxError) throw new StartupError(`cannot load ${directory}: ${error.message}`, { cause: error });
    throw error;
  }
}

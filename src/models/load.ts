/** Loads a model directory: checkpoint, architecture, weights. */

import { StartupError } from "../errors.ts";
import { DTYPES, type Dtype } from "../mlx/dtype.ts";
import { currentDevice, MlxError } from "../mlx/ffi.ts";
import { type AdapterSource, readAdapter } from "./adapter.ts";
import { AdapterSet } from "./adapter-set.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { LanguageModel } from "./model.ts";
import { ConfigReader } from "./model-config.ts";
import { findArchitecture } from "./registry.ts";
import { TensorSet } from "./tensor-set.ts";
import { Weights } from "./weights.ts";

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

export interface LoadOptions {
  adapters?: readonly AdapterSource[];
  onProgress?: (done: number, total: number) => void;
}

/**
 * Checks config and tensors, then reads the weights. MLX's CPU backend multiplies only float32 fast, so there weights
 * become float32; elsewhere they stay as stored. Throws `StartupError`.
 */
export async function loadModel(checkpoint: Checkpoint, { adapters = [], onProgress }: LoadOptions = {}): Promise<LoadedModel> {
  const config = new ConfigReader(checkpoint.config, "config.json");
  const architecture = config.string("model_type");
  const { build, sanitize, ignoredTensors } = findArchitecture(architecture);
  const tensors = new TensorSet(checkpoint.tensors);
  sanitize?.(tensors, config);
  const cpu = currentDevice() === "cpu";
  const weights = new Weights(tensors, config, {
    dtype: cpu ? DTYPES.float32 : null,
    packed: cpu,
    adapters: new AdapterSet(await Promise.all(adapters.map(({ path }) => readAdapter(path)))),
  });
  const model = build(config, weights);
  weights.check(checkpoint.directory, ignoredTensors ?? []);
  try {
    await weights.load(onProgress);
  } catch (error) {
    weights.free();
    if (error instanceof MlxError)
      throw new StartupError(`cannot load ${checkpoint.directory}: ${error.message}`, { cause: error });
    throw error;
  }
  return {
    model,
    architecture,
    dtype: weights.activationDtype(),
    bytes: weights.bytes,
    adapters: adapters.map(({ name }) => name),
    free: () => weights.free(),
  };
}

/** What a model gives to the engine. */
import type { Batch, CacheLayerSpec } from "../kv/cache.ts";
import type { MxArray } from "../mlx/ffi.ts";
import type { ConfigReader } from "./model-config.ts";
import type { Weights } from "./weights.ts";

export interface LanguageModel {
  readonly vocabSize: number;
  /** Positions that the model was made for. */
  readonly contextLength: number;
  readonly cacheLayers: readonly CacheLayerSpec[];
  /** Logits [outputs, vocab] of the batch's output rows. */
  forward(batch: Batch): MxArray;
}

/** Builds a model from its config, declaring every tensor that it needs; nothing is read yet. */
export interface Architecture {
  build(config: ConfigReader, weights: Weights): LanguageModel;
  /** Tensors that checkpoints of this architecture carry and the model does not need. */
  ignoredTensors?: readonly RegExp[];
}

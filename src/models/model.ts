/** What a model gives to the engine. */
import type { Batch, CacheSpec } from "../kv/cache.ts";
import type { MxArray } from "../mlx/ffi.ts";
import type { ConfigReader } from "./model-config.ts";
import type { TensorSet } from "./tensor-set.ts";
import type { Weights } from "./weights.ts";

export interface LanguageModel {
  readonly vocabSize: number;
  /** Positions that the model was made for. */
  readonly contextLength: number;
  readonly caches: readonly CacheSpec[];
  /** Logits [outputs, vocab] of the batch's output rows. */
  forward(batch: Batch): MxArray;
  /** What the head gets, [outputs, hidden], after the last norm; absent where it cannot be had. */
  hidden?(batch: Batch): MxArray;
}

/** Builds a model from its config, declaring every tensor that it needs; nothing is read yet. */
export interface Architecture {
  build(config: ConfigReader, weights: Weights): LanguageModel;
  /** Brings the tensors of other layouts (the publisher's own) to the names and shapes that `build` asks for. */
  sanitize?(tensors: TensorSet, config: ConfigReader): void;
  /** Modules that `--quantize` gives 8 bits in any case, besides routers. */
  precise?: RegExp;
  /** Tensors that checkpoints of this architecture carry and the model does not need. */
  ignoredTensors?: readonly RegExp[];
}

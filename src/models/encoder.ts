/** What an encoder gives to the embedder: a model that sees whole texts in both directions and keeps nothing of them. */
import type { MxArray } from "../mlx/ffi.ts";
import type { ConfigReader } from "./model-config.ts";
import type { TensorSet } from "./tensor-set.ts";
import type { Weights } from "./weights.ts";

/** T tokens of some texts, flat and without padding. */
export interface TextBatch {
  /** int32 [T] */
  readonly tokens: MxArray;
  /** int32 [T], the place of each token in its text. */
  readonly positions: MxArray;
  /** Of the texts, in the order in which they lie. */
  readonly lengths: readonly number[];
}

export interface EncoderModel {
  readonly vocabSize: number;
  /** Tokens that a text may have. */
  readonly contextLength: number;
  readonly hiddenSize: number;
  /** Hidden states [T, hidden] of the last layer. */
  forward(batch: TextBatch): MxArray;
}

/** Builds an encoder from its config, declaring every tensor that it needs; nothing is read yet. */
export interface EncoderArchitecture {
  build(config: ConfigReader, weights: Weights): EncoderModel;
  /** Brings the tensors of other layouts to the names that `build` asks for. */
  sanitize(tensors: TensorSet): void;
  /** Tensors that checkpoints of this architecture carry and the model does not need. */
  ignoredTensors: readonly RegExp[];
}

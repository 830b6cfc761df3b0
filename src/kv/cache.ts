/** What a model says of its caches and what it sees of the batch. */
import type { MxArray } from "../mlx/ffi.ts";
import type { InPlaceTensor } from "./in-place-tensor.ts";

/** One layer's cache, declared by the model. */
export interface CacheLayerSpec {
  kind: "full";
  kvHeads: number;
  headDim: number;
}

/** A stretch of one sequence's tokens in a step. */
export interface Span {
  /** Key of the sequence in the row table. */
  sequence: number;
  /** Position of its first token of this step. */
  start: number;
  count: number;
}

export interface AttentionOptions {
  scale: number;
}

/** The tensors of one layer in one size class, [rows, kvHeads, capacity, headDim] each. */
export interface LayerPair {
  k: InPlaceTensor;
  v: InPlaceTensor;
}

/**
 * Appends k and v [T, kvHeads, headDim] to the layer's cache and lets each token of q [T, heads, headDim] attend to its
 * own sequence up to itself. Returns [T, heads * headDim].
 */
export type Attend = (layer: number, q: MxArray, k: MxArray, v: MxArray, options: AttentionOptions) => MxArray;

/** One ragged forward pass as the model sees it: T tokens of many sequences, flat. */
export interface Batch {
  /** int32 [T] */
  readonly tokens: MxArray;
  /** int32 [T], the place of each token in its sequence. */
  readonly positions: MxArray;
  /** int32 rows of which logits are wanted; null: of all. */
  readonly outputs: MxArray | null;
  /** int32 [T], the adapter of each token, 0 for none; null: no token of the step has one. */
  readonly adapters: MxArray | null;
  readonly attend: Attend;
}

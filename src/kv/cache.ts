/** What a model says of its caches and what it sees of the batch. */
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { InPlaceTensor } from "./in-place-tensor.ts";

/** One cache of a sequence, declared by the model and known by its place in the list; a layer may have several or none. */
export type CacheSpec = AttentionCache | StateCache;

/** Keys and values of past tokens. */
export interface AttentionCache {
  /**
   * What a token sees of its own sequence: `full` everything before it, `window` itself and the `size - 1` tokens before,
   * `chunk` from the last multiple of `size` on, `latent` everything, its values being the first `valueDim` numbers of its keys
   * (the compressed keys and values of multi-head latent attention).
   */
  kind: "full" | "window" | "chunk" | "latent";
  kvHeads: number;
  /** Of a key. */
  headDim: number;
  /** Of a value; like a key's by default. */
  valueDim?: number;
  /** Of a window or chunk. */
  size?: number;
}

/** What a recurrent layer carries from token to token: a float32 tensor of fixed shape, zero before the first one. */
export interface StateCache {
  kind: "state";
  shape: readonly number[];
}

export const isState = (spec: CacheSpec): spec is StateCache => spec.kind === "state";

export const valueDimOf = ({ headDim, valueDim }: AttentionCache): number => valueDim ?? headDim;

/** First position that the token at `position` sees. */
export function firstSeen({ kind, size }: AttentionCache, position: number): number {
  if (kind === "window") return Math.max(0, position - size! + 1);
  return kind === "chunk" ? position - (position % size!) : 0;
}

/** A stretch of one sequence's tokens in a step. */
export interface Span {
  /** Key of the sequence in the row table. */
  sequence: number;
  /** Position of its first token of this step. */
  start: number;
  count: number;
  /** Logits of its last token are wanted. */
  sample: boolean;
}

export interface AttentionOptions {
  scale: number;
  /** Scores become cap tanh(score / cap). */
  softcap?: number;
  /** float [heads]: what each head may attend to besides its keys. */
  sinks?: MxArray;
  /** q has the tokens of the batch's outputs only: [outputs, heads, headDim]. */
  ofOutputs?: boolean;
}

/** The tensors of one attention cache in one size class, [rows, kvHeads, slots, dim] each; a latent one has no `v`. */
export interface LayerPair {
  k: InPlaceTensor;
  v: InPlaceTensor | null;
}

/**
 * Appends k [T, kvHeads, headDim] and v [T, kvHeads, valueDim] to a cache and lets each token of q [T, heads, headDim] attend to its
 * own sequence up to itself. Returns [T, heads * valueDim]. Without k and v the cache is read as another layer has written it in
 * this step (q must depend on that layer's result: it is what orders the two); for a latent one v is null.
 */
export type Attend = (cache: number, q: MxArray, k: MxArray | null, v: MxArray | null, options: AttentionOptions) => MxArray;

/** Scans over each sequence's own tokens in order, from and to its state in a cache. Computed in float32, returned in x's type. */
export interface Recurrence {
  /**
   * Causal depthwise convolution, silu after it where wanted: x [T, C], weight [K, C], bias [C]; state [K - 1, C], the inputs before.
   * Returns [T, C].
   */
  convolve(cache: number, x: MxArray, weight: MxArray, options: { bias: MxArray | null; silu: boolean }): MxArray;
  /** Gated delta rule: x [T, 2 Hk Dk + Hv Dv], queries, keys and values of all heads; state [Hv, Dv, Dk]. Returns [T, Hv, Dv]. */
  gatedDelta(cache: number, x: MxArray, gates: DeltaGates): MxArray;
  /** Mamba-2: x [T, H P + 2 G N], inputs of all heads, then b and c of all groups; state [H, P, N]. Returns [T, H P]. */
  stateSpace(cache: number, x: MxArray, steps: StateSpaceSteps): MxArray;
}

/**
 * g = exp(decay softplus(a + bias)), beta = sigmoid(b); q and k of unit length, q times 1 / sqrt(Dk).
 * S = g S; S += beta (v - S k) k^T; y = S q.
 */
export interface DeltaGates {
  /** [T, Hv] */
  a: MxArray;
  b: MxArray;
  /** float32 [Hv], negative. */
  decay: MxArray;
  /** float32 [Hv] */
  bias: MxArray;
  /** Hk; Hv is a multiple of it. */
  keyHeads: number;
}

/** step = softplus(dt + bias) within the limits; S = exp(step decay) S + step x b^T; y = S c + skip x. H is a multiple of G. */
export interface StateSpaceSteps {
  /** [T, H] */
  dt: MxArray;
  /** float32 [H] */
  bias: MxArray;
  /** float32 [H], negative. */
  decay: MxArray;
  /** float32 [H] */
  skip: MxArray;
  limits: readonly [low: number, high: number];
}

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
  readonly recurrence: Recurrence;
}

/** The batch as it is for what is computed for its outputs only; `attend` may still be given the keys and values of all its tokens. */
export function narrowToOutputs(batch: Batch): Batch {
  const { tokens, positions, outputs, adapters, attend } = batch;
  if (outputs === null) return batch;
  const take = (array: MxArray) => mx.take(array, outputs, 0);
  return {
    ...batch,
    tokens: take(tokens),
    positions: take(positions),
    outputs: null,
    adapters: adapters && take(adapters),
    attend: (cache, q, k, v, options) => attend(cache, q, k, v, { ...options, ofOutputs: true }),
  };
}

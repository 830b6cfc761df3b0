/** What a model says of its caches and what it sees of the batch. */
import type { MxArray } from "../mlx/ffi.ts";
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
}

export interface AttentionOptions {
  scale: number;
  /** Scores become cap tanh(score / cap). */
  softcap?: number;
  /** float [heads]: what each head may attend to besides its keys. */
  sinks?: MxArray;
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
export type Attend = (
  cache: number,
  q: MxArray,
  k: MxArray | null,
  v: MxArray | null,
  options: AttentionOptions,
) => MxArray;

/** Scans over each sequence's own tokens in order, from and to its state in a cache. All numbers are float32. */
export interface Recurrence {
  /** Causal depthwise convolution: x [T, C], weight [C, K], bias [C]; state [K - 1, C]. Returns [T, C], without activation. */
  convolve(cache: number, x: MxArray, weight: MxArray, bias: MxArray | null): MxArray;
  /**
   * Gated delta rule: q and k [T, Hk, Dk], v [T, Hv, Dv], decay g in (0, 1] and beta [T, Hv]; Hv a multiple of Hk; state [Hv, Dv, Dk].
   * S = g S; S += beta (v - S k) k^T; y = S q. Returns [T, Hv, Dv].
   */
  gatedDelta(cache: number, inputs: { q: MxArray; k: MxArray; v: MxArray; g: MxArray; beta: MxArray }): MxArray;
  /**
   * Mamba-2: x [T, H, P], dt [T, H] (positive), a [H] (negative), b and c [T, G, N], H a multiple of G, d [H]; state [H, P, N].
   * S = exp(dt a) S + dt x b^T; y = S c + d x. Returns [T, H, P].
   */
  stateSpace(
    cache: number,
    inputs: { x: MxArray; dt: MxArray; a: MxArray; b: MxArray; c: MxArray; d: MxArray },
  ): MxArray;
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

/** Attention with grouped heads as most models have it; unusual ones write their own on top of `batch.attend`. */
import type { AttentionCache, Batch } from "../kv/cache.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Linear } from "../nn/linear.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { Rope } from "../nn/rope.ts";
import type { CacheList, Norm } from "./decoder.ts";
import {
  FusedProjection,
  type FusedQkv,
  type HeadShape,
  type Projections,
  type Qkv,
  type QkvNames,
  SeparateProjections,
} from "./projections.ts";
import type { Weights } from "./weights.ts";

export interface QkNorm {
  /** Each head by itself or all of them as one vector. */
  over: "head" | "projection";
  /** `dim` is the size of what is normalised, `heads` how many there are. */
  make: (prefix: string, dim: number, heads: number) => Norm;
  /** `q_norm` and `k_norm` by default. */
  names?: readonly [q: string, k: string];
  /** After the rotation instead of before it. */
  afterRope?: boolean;
}

export interface AttentionSpec extends HeadShape {
  /** Of q, k and v. */
  bias?: boolean;
  outputBias?: boolean;
  /** `q_proj`, `k_proj` and `v_proj` by default. */
  inputNames?: QkvNames;
  /** `o_proj` by default. */
  outputName?: string;
  /** One projection in place of three. */
  fused?: FusedQkv;
  /** Null: the positions do not enter. */
  rope: Rope | null;
  /** Of the scores; 1 / sqrt(headDim) by default. */
  scale?: number;
  softcap?: number;
  qkNorm?: QkNorm;
  /** Each head may attend to something besides its keys: the tensor `sinks`. */
  sinks?: boolean;
  /** What is done to the queries [T, heads, headDim] after the rotation. */
  changeQueries?: (q: MxArray, batch: Batch) => MxArray;
  /** What a token sees; everything before it by default. */
  sees?: Pick<AttentionCache, "kind" | "size">;
}

const INPUT_NAMES: QkvNames = ["q_proj", "k_proj", "v_proj"];

/** What tells one layer's attention from another's of the same shape. */
export type AttentionDetails = Omit<AttentionSpec, keyof HeadShape>;

export class Attention {
  readonly projections: Projections;
  readonly o_proj: Linear;
  readonly q_norm: Norm | null;
  readonly k_norm: Norm | null;
  readonly sinks: Parameter | null;
  readonly #spec: AttentionSpec;
  readonly #cache: number;

  constructor(spec: AttentionSpec, weights: Weights, prefix: string, caches: CacheList) {
    const { hiddenSize, heads, kvHeads, headDim, bias = false, outputBias = false, outputName = "o_proj", fused, qkNorm } = spec;
    this.projections = fused
      ? new FusedProjection(spec, fused, bias, weights, prefix)
      : new SeparateProjections(spec, spec.inputNames ?? INPUT_NAMES, bias, weights, prefix);
    this.o_proj = weights.linear(`${prefix}.${outputName}`, heads * headDim, hiddenSize, outputBias);
    const norm = (name: string, count: number) =>
      qkNorm ? qkNorm.make(`${prefix}.${name}`, qkNorm.over === "head" ? headDim : count * headDim, count) : null;
    const [q = "q_norm", k = "k_norm"] = qkNorm?.names ?? [];
    this.q_norm = norm(q, heads);
    this.k_norm = norm(k, kvHeads);
    this.sinks = spec.sinks ? weights.tensor(`${prefix}.sinks`, [heads]) : null;
    this.#spec = spec;
    this.#cache = caches.add({ kind: "full", ...spec.sees, kvHeads, headDim });
  }

  forward(x: MxArray, batch: Batch): MxArray {
    return this.#attend(this.projections.forward(x, batch), batch, batch);
  }

  forwardOutputs(x: MxArray, batch: Batch, asked: MxArray, narrow: Batch): MxArray {
    return this.#attend(this.projections.forwardOutputs(x, batch, asked, narrow), batch, narrow);
  }

  /** `asking`: the batch as it is for the queries. */
  #attend([flatQ, flatK, flatV]: Qkv, batch: Batch, asking: Batch): MxArray {
    const { heads, kvHeads, headDim, softcap, changeQueries } = this.#spec;
    const q = this.#place(flatQ, this.q_norm, heads, asking);
    const k = this.#place(flatK, this.k_norm, kvHeads, batch);
    const v = mx.reshape(flatV, [-1, kvHeads, headDim]);
    const options = {
      scale: this.#spec.scale ?? headDim ** -0.5,
      ...(softcap !== undefined && { softcap }),
      ...(this.sinks && { sinks: this.sinks.array }),
    };
    const asked = changeQueries ? changeQueries(q, asking) : q;
    return this.o_proj.forward(asking.attend(this.#cache, asked, k, v, options), asking);
  }

  /** Queries or keys, flat, to [T, heads, headDim], normalised and rotated. */
  #place(flat: MxArray, norm: Norm | null, heads: number, batch: Batch): MxArray {
    const { headDim, qkNorm, rope } = this.#spec;
    const turn = (part: MxArray) => (rope ? rope.forward(part, batch.positions) : part);
    const split = (part: MxArray) => mx.reshape(part, [-1, heads, headDim]);
    if (norm === null) return turn(split(flat));
    if (qkNorm?.afterRope) return norm.forward(turn(split(flat)));
    return turn(qkNorm?.over === "projection" ? split(norm.forward(flat)) : norm.forward(split(flat)));
  }
}

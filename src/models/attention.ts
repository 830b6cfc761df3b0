/** Attention with grouped heads as most models have it; unusual ones write their own on top of `batch.attend`. */
import type { AttentionCache, Batch } from "../kv/cache.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Linear } from "../nn/linear.ts";
import type { Rope } from "../nn/rope.ts";
import type { CacheList, Norm } from "./decoder.ts";
import type { Weights } from "./weights.ts";

export interface AttentionSpec {
  hiddenSize: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Of q, k and v. */
  bias?: boolean;
  outputBias?: boolean;
  /** Null: the positions do not enter. */
  rope: Rope | null;
  /** Of the scores; 1 / sqrt(headDim) by default. */
  scale?: number;
  softcap?: number;
  /** Norms of q and k before the rotation, each head by itself or all of them as one vector. */
  qkNorm?: { over: "head" | "projection"; make: (prefix: string, dim: number) => Norm };
  /** What a token sees; everything before it by default. */
  sees?: Pick<AttentionCache, "kind" | "size">;
}

export class Attention {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly o_proj: Linear;
  readonly q_norm: Norm | null;
  readonly k_norm: Norm | null;
  readonly #spec: AttentionSpec;
  readonly #cache: number;

  constructor(spec: AttentionSpec, weights: Weights, prefix: string, caches: CacheList) {
    const { hiddenSize, heads, kvHeads, headDim, bias = false, outputBias = false, qkNorm } = spec;
    this.q_proj = weights.linear(`${prefix}.q_proj`, hiddenSize, heads * headDim, bias);
    this.k_proj = weights.linear(`${prefix}.k_proj`, hiddenSize, kvHeads * headDim, bias);
    this.v_proj = weights.linear(`${prefix}.v_proj`, hiddenSize, kvHeads * headDim, bias);
    this.o_proj = weights.linear(`${prefix}.o_proj`, heads * headDim, hiddenSize, outputBias);
    const norm = (name: string, count: number) =>
      qkNorm ? qkNorm.make(`${prefix}.${name}`, qkNorm.over === "head" ? headDim : count * headDim) : null;
    this.q_norm = norm("q_norm", heads);
    this.k_norm = norm("k_norm", kvHeads);
    this.#spec = spec;
    this.#cache = caches.add({ kind: "full", ...spec.sees, kvHeads, headDim });
  }

  forward(x: MxArray, batch: Batch): MxArray {
    const { heads, kvHeads, headDim, rope, softcap } = this.#spec;
    const q = this.#project(this.q_proj, this.q_norm, heads, x, batch);
    const k = this.#project(this.k_proj, this.k_norm, kvHeads, x, batch);
    const v = mx.reshape(this.v_proj.forward(x, batch), [-1, kvHeads, headDim]);
    const turn = (part: MxArray) => (rope ? rope.forward(part, batch.positions) : part);
    const options = { scale: this.#spec.scale ?? headDim ** -0.5, ...(softcap !== undefined && { softcap }) };
    return this.o_proj.forward(batch.attend(this.#cache, turn(q), turn(k), v, options), batch);
  }

  #project(linear: Linear, norm: Norm | null, heads: number, x: MxArray, batch: Batch): MxArray {
    const { headDim, qkNorm } = this.#spec;
    const flat = linear.forward(x, batch);
    if (norm === null) return mx.reshape(flat, [-1, heads, headDim]);
    if (qkNorm?.over === "projection") return mx.reshape(norm.forward(flat), [-1, heads, headDim]);
    return norm.forward(mx.reshape(flat, [-1, heads, headDim]));
  }
}

/** Attention of Gemma 3n and 4: scale 1, norms of queries, keys and values, caches that several layers read. */
import type { AttentionCache, Batch } from "../kv/cache.ts";
import { rmsNorm } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Linear } from "../nn/linear.ts";
import type { RmsNorm } from "../nn/norm.ts";
import type { Rope } from "../nn/rope.ts";
import type { CacheList } from "./decoder.ts";
import type { Weights } from "./weights.ts";

export interface SharingAttentionSpec {
  hiddenSize: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  normEps: number;
  /** What k_proj gives is the value too. */
  keysAreValues?: boolean;
  rope: Rope;
  sees: Pick<AttentionCache, "kind" | "size">;
}

export class SharingAttention {
  readonly q_proj: Linear;
  readonly o_proj: Linear;
  readonly q_norm: RmsNorm;
  /** Null where another layer's cache is read. */
  readonly own: { k_proj: Linear; v_proj: Linear | null; k_norm: RmsNorm } | null;
  readonly cache: number;
  readonly #spec: SharingAttentionSpec;

  /** `shared`: the cache of another layer, which is read instead of one of its own. */
  constructor(spec: SharingAttentionSpec, weights: Weights, prefix: string, shared: number | null, caches: CacheList) {
    const { hiddenSize, heads, kvHeads, headDim, normEps, keysAreValues, sees } = spec;
    const linear = (name: string, from: number, to: number) => weights.linear(`${prefix}.${name}`, from, to, false);
    const norm = (name: string) => weights.norm(`${prefix}.${name}`, headDim, normEps);
    this.q_proj = linear("q_proj", hiddenSize, heads * headDim);
    this.o_proj = linear("o_proj", heads * headDim, hiddenSize);
    this.q_norm = norm("q_norm");
    this.own =
      shared === null
        ? {
            k_proj: linear("k_proj", hiddenSize, kvHeads * headDim),
            v_proj: keysAreValues ? null : linear("v_proj", hiddenSize, kvHeads * headDim),
            k_norm: norm("k_norm"),
          }
        : null;
    this.cache = shared ?? caches.add({ ...sees, kvHeads, headDim });
    this.#spec = spec;
  }

  forward(x: MxArray, batch: Batch): MxArray {
    const { heads, kvHeads, headDim, normEps, rope } = this.#spec;
    const split = (flat: MxArray, count: number) => mx.reshape(flat, [-1, count, headDim]);
    const turn = (part: MxArray) => rope.forward(part, batch.positions);
    const q = turn(this.q_norm.forward(split(this.q_proj.forward(x, batch), heads)));
    if (this.own === null) return this.o_proj.forward(batch.attend(this.cache, q, null, null, { scale: 1 }), batch);
    const keys = split(this.own.k_proj.forward(x, batch), kvHeads);
    const values = this.own.v_proj ? split(this.own.v_proj.forward(x, batch), kvHeads) : keys;
    const k = turn(this.own.k_norm.forward(keys));
    return this.o_proj.forward(batch.attend(this.cache, q, k, rmsNorm(values, null, normEps), { scale: 1 }), batch);
  }
}

/** Attention whose outputs are gated: each head's gate stands behind its query in q_proj. As in mlx_lm/models/qwen3_next.py. */
import type { Batch } from "../kv/cache.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { cutColumns } from "../nn/columns.ts";
import type { Linear } from "../nn/linear.ts";
import type { RmsNorm } from "../nn/norm.ts";
import type { Rope } from "../nn/rope.ts";
import type { Layer } from "./block.ts";
import type { CacheList } from "./decoder.ts";
import type { HeadShape } from "./projections.ts";
import type { Weights } from "./weights.ts";

export interface GatedAttentionSpec extends HeadShape {
  bias: boolean;
  normEps: number;
  rope: Rope;
}

export class GatedAttention implements Layer {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly o_proj: Linear;
  readonly q_norm: RmsNorm;
  readonly k_norm: RmsNorm;
  readonly #spec: GatedAttentionSpec;
  readonly #cache: number;

  constructor(spec: GatedAttentionSpec, weights: Weights, prefix: string, caches: CacheList) {
    const { hiddenSize, heads, kvHeads, headDim, bias, normEps } = spec;
    this.q_proj = weights.linear(`${prefix}.q_proj`, hiddenSize, 2 * heads * headDim, bias);
    this.k_proj = weights.linear(`${prefix}.k_proj`, hiddenSize, kvHeads * headDim, bias);
    this.v_proj = weights.linear(`${prefix}.v_proj`, hiddenSize, kvHeads * headDim, bias);
    this.o_proj = weights.linear(`${prefix}.o_proj`, heads * headDim, hiddenSize, bias);
    this.q_norm = weights.norm(`${prefix}.q_norm`, headDim, normEps);
    this.k_norm = weights.norm(`${prefix}.k_norm`, headDim, normEps);
    this.#spec = spec;
    this.#cache = caches.add({ kind: "full", kvHeads, headDim });
  }

  forward(x: MxArray, batch: Batch): MxArray {
    const { heads, kvHeads, headDim, rope } = this.#spec;
    const both = mx.reshape(this.q_proj.forward(x, batch), [-1, 2 * headDim]);
    const [queries, gate] = cutColumns(both, [headDim, headDim]) as [MxArray, MxArray];
    const split = (flat: MxArray, count: number) => mx.reshape(flat, [-1, count, headDim]);
    const q = rope.forward(this.q_norm.forward(split(queries, heads)), batch.positions);
    const k = rope.forward(this.k_norm.forward(split(this.k_proj.forward(x, batch), kvHeads)), batch.positions);
    const v = split(this.v_proj.forward(x, batch), kvHeads);
    const y = batch.attend(this.#cache, q, k, v, { scale: headDim ** -0.5 });
    return this.o_proj.forward(mx.multiply(y, mx.sigmoid(mx.reshape(gate, [-1, heads * headDim]))), batch);
  }
}

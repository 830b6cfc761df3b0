/**
 * Multi-head latent attention (DeepSeek-V2, 2024): keys and values of all heads come from one small vector for each token, and only that
 * is cached, with a rotated part. The matrices that would spread it are applied to the queries and to the result instead, so that
 * all heads attend to the same keys.
 */
import type { Batch } from "../kv/cache.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { cutColumns } from "../nn/columns.ts";
import { HeadLinear } from "../nn/head-linear.ts";
import type { Linear } from "../nn/linear.ts";
import type { RmsNorm } from "../nn/norm.ts";
import type { Rope } from "../nn/rope.ts";
import type { CacheList } from "./decoder.ts";
import type { Weights } from "./weights.ts";

export interface LatentAttentionSpec {
  hiddenSize: number;
  heads: number;
  /** Of the queries' own small vector; null: they have none. */
  queryRank: number | null;
  /** Of the vector that is cached. */
  rank: number;
  /** Of a head's query and key: the part without rotation and the rotated one. */
  plainDim: number;
  rotatedDim: number;
  valueDim: number;
  bias: boolean;
  latentEps: number;
  rope: Rope;
  scale: number;
}

export class LatentAttention {
  readonly queries: (x: MxArray, batch: Batch) => MxArray;
  readonly kv_a_proj_with_mqa: Linear;
  readonly kv_a_layernorm: RmsNorm;
  /** The key's matrix of each head, [rank, plainDim], applied to the query. */
  readonly embed_q: HeadLinear;
  /** The value's matrix of each head, [valueDim, rank], applied to the result. */
  readonly unembed_out: HeadLinear;
  readonly o_proj: Linear;
  readonly #spec: LatentAttentionSpec;
  readonly #cache: number;

  constructor(spec: LatentAttentionSpec, weights: Weights, prefix: string, caches: CacheList) {
    const { hiddenSize, heads, rank, plainDim, rotatedDim, valueDim, bias, latentEps } = spec;
    const at = (name: string) => `${prefix}.${name}`;
    this.queries = makeQueries(spec, weights, prefix);
    this.kv_a_proj_with_mqa = weights.linear(at("kv_a_proj_with_mqa"), hiddenSize, rank + rotatedDim, bias);
    this.kv_a_layernorm = weights.norm(at("kv_a_layernorm"), rank, latentEps);
    const head = { count: heads, bias: false };
    this.embed_q = new HeadLinear(weights.experts(at("embed_q"), { ...head, inDim: plainDim, outDim: rank }));
    this.unembed_out = new HeadLinear(weights.experts(at("unembed_out"), { ...head, inDim: rank, outDim: valueDim }));
    this.o_proj = weights.linear(at("o_proj"), heads * valueDim, hiddenSize, bias);
    this.#spec = spec;
    this.#cache = caches.add({ kind: "latent", kvHeads: 1, headDim: rank + rotatedDim, valueDim: rank });
  }

  forward(x: MxArray, batch: Batch): MxArray {
    const { heads, rank, plainDim, rotatedDim, valueDim, rope, scale } = this.#spec;
    const asked = mx.reshape(this.queries(x, batch), [-1, heads, plainDim + rotatedDim]);
    const [plain, toRotate] = cutColumns(asked, [plainDim, rotatedDim]) as [MxArray, MxArray];
    const q = mx.concatenate([this.embed_q.forward(plain), rope.forward(toRotate, batch.positions)], 2);
    const compressed = mx.expandDims(this.kv_a_proj_with_mqa.forward(x, batch), 1);
    const [latent, keyToRotate] = cutColumns(compressed, [rank, rotatedDim]) as [MxArray, MxArray];
    const k = mx.concatenate([this.kv_a_layernorm.forward(latent), rope.forward(keyToRotate, batch.positions)], 2);
    const mixed = mx.reshape(batch.attend(this.#cache, q, k, null, { scale }), [-1, heads, rank]);
    return this.o_proj.forward(mx.reshape(this.unembed_out.forward(mixed), [-1, heads * valueDim]), batch);
  }
}

/** The projection to the queries of all heads, straight or by way of a small vector. */
function makeQueries(
  { hiddenSize, heads, queryRank, plainDim, rotatedDim, bias, latentEps }: LatentAttentionSpec,
  weights: Weights,
  prefix: string,
): (x: MxArray, batch: Batch) => MxArray {
  const width = heads * (plainDim + rotatedDim);
  if (queryRank === null) {
    const straight = weights.linear(`${prefix}.q_proj`, hiddenSize, width, false);
    return (x, batch) => straight.forward(x, batch);
  }
  const down = weights.linear(`${prefix}.q_a_proj`, hiddenSize, queryRank, bias);
  const norm = weights.norm(`${prefix}.q_a_layernorm`, queryRank, latentEps);
  const up = weights.linear(`${prefix}.q_b_proj`, queryRank, width, false);
  return (x, batch) => up.forward(norm.forward(down.forward(x, batch)), batch);
}

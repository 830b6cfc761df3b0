/** InternLM 2: llama under other names, its matrix of queries, keys and values ordered by key head. Follows mlx_lm/models/internlm2.py. */
import { dimension } from "../../mlx/array.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import type { HeadShape, Qkv } from "../projections.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";

/** For each key head the queries that share it, the key, the value. */
function cutByKeyHead(qkv: MxArray, { heads, kvHeads, headDim }: HeadShape): Qkv {
  const rows = dimension(qkv, 0);
  const share = heads / kvHeads;
  const groups = mx.reshape(qkv, [rows, kvHeads, share + 2, headDim]);
  const part = (from: number, to: number) =>
    mx.reshape(mx.slice(groups, [0, 0, from, 0], [rows, kvHeads, to, headDim]), [rows, kvHeads * (to - from) * headDim]);
  return [part(0, share), part(share, share + 1), part(share + 1, share + 2)];
}

export const internlm2: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c.withDefaults({ max_position_embeddings: 32768 }), { tied: false });
    const bias = c.boolean("bias", { default: true });
    const rope = readRope(c, { dims: config.headDim });
    return buildTransformer(config, weights, {
      names: { embedding: "tok_embeddings", head: "output" },
      layerNames: {
        attention: "attention",
        feedForward: "feed_forward",
        beforeAttention: "attention_norm",
        beforeFeedForward: "ffn_norm",
      },
      attention: () => ({
        fused: { name: "wqkv", cut: cutByKeyHead },
        bias,
        outputName: "wo",
        outputBias: bias,
        rope,
      }),
      mlp: { names: ["w1", "w3", "w2"] },
    });
  },
  ignoredTensors: [/\.rope\.inv_freq$/, /\.rotary_emb\.inv_freq$/, /^output\.\w+$/],
};

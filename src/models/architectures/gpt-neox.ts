/** GPT-NeoX and Pythia: both parts side by side with norms of their own, part of the head rotated. Follows mlx_lm/models/gpt_neox.py. */
import { dimension } from "../../mlx/array.ts";
import { geluApprox } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import { readDecoderConfig } from "../decoder.ts";
import { layerNorm } from "../layer-norm.ts";
import { PlainMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import type { HeadShape, Qkv } from "../projections.ts";
import { readRope } from "../rope-config.ts";
import type { TensorSet } from "../tensor-set.ts";
import { buildTransformer } from "../transformer.ts";

/** Its fields under the usual names. */
function usualNames(c: ConfigReader): ConfigReader {
  return c.with({
    rope_theta: c.number("rotary_emb_base", { min: 1, default: 10000 }),
    partial_rotary_factor: c.number("rotary_pct", { min: 0, max: 1, default: 0.25 }),
    intermediate_size: 4 * c.int("hidden_size", { min: 1 }),
  });
}

/** For each head its query, key and value. */
function cutByHead(qkv: MxArray, { heads, headDim }: HeadShape): Qkv {
  const rows = dimension(qkv, 0);
  const byHead = mx.reshape(qkv, [rows, heads, 3 * headDim]);
  const part = (index: number) =>
    mx.reshape(mx.slice(byHead, [0, 0, index * headDim], [rows, heads, (index + 1) * headDim]), [rows, heads * headDim]);
  return [part(0), part(1), part(2)];
}

/** The publisher's names are mlx-lm's but for their beginnings. */
function takeUsualNames(tensors: TensorSet): void {
  tensors.rename((name) =>
    name
      .replace(/^(?!model\.)/, "model.")
      .replace(".gpt_neox.layers.", ".h.")
      .replace(".gpt_neox.", "."),
  );
}

export const gptNeox: Architecture = {
  build: (reader, weights) => {
    const c = usualNames(reader);
    const config = { ...readDecoderConfig(c, { tied: false }), tied: false };
    const rope = readRope(c, { dims: config.headDim, partial: 0.25, scaled: false });
    const norm = { dim: config.hiddenSize, eps: c.number("layer_norm_eps", { min: 0, default: 1e-5 }), bias: true };
    const mlp = { ...config, bias: true, activation: geluApprox, names: ["dense_h_to_4h", "dense_4h_to_h"] } as const;
    return buildTransformer(config, weights, {
      names: { embedding: "embed_in", layers: "h", norm: "final_layer_norm", head: "model.embed_out" },
      layerNames: { attention: "attention" },
      attention: () => ({
        fused: { name: "query_key_value", cut: cutByHead },
        bias: true,
        outputName: "dense",
        outputBias: true,
        rope,
      }),
      feedForward: (prefix) => new PlainMlp(mlp, weights, prefix),
      norm: (prefix) => layerNorm(weights, prefix, norm),
      parallel: c.boolean("use_parallel_residual", { default: true }),
    });
  },
  sanitize: takeUsualNames,
  ignoredTensors: [/\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)$/],
};

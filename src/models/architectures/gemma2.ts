/** Gemma 2: capped scores and logits, norms before and after each part. Follows mlx_lm/models/gemma2.py, which knows no windows. */
import { dtypeOf, scalar } from "../../mlx/array.ts";
import { geglu, softcap } from "../../mlx/fast.ts";
import * as mx from "../../mlx/ops.ts";
import type { RmsNorm } from "../../nn/norm.ts";
import type { DecoderConfig } from "../decoder.ts";
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer, type LayerNames } from "../transformer.ts";
import type { Weights } from "../weights.ts";
import { LEFTOVERS } from "./llama.ts";

/** Gemma's norms multiply by 1 + weight; the 1 is added when they are loaded, so that there is one kind of norm. */
export function gemmaNorm(weights: Weights, prefix: string, dim: number, eps: number): RmsNorm {
  return weights.norm(prefix, dim, eps, (weight) => mx.add(weight, mx.astype(scalar(1), dtypeOf(weight))));
}

/** What the layers of Gemma 2 and 3 have in common. */
export function gemmaLayers({ hiddenSize, normEps }: DecoderConfig, weights: Weights) {
  const layerNames: Partial<LayerNames> = {
    afterAttention: "post_attention_layernorm",
    beforeFeedForward: "pre_feedforward_layernorm",
    afterFeedForward: "post_feedforward_layernorm",
  };
  return { layerNames, mlp: { activation: geglu }, norm: (prefix: string) => gemmaNorm(weights, prefix, hiddenSize, normEps) };
}

export const gemma2: Architecture = {
  build: (c, weights) => {
    const config = { ...readDecoderConfig(c, { tied: true }), tied: true };
    const cap = c.number("final_logit_softcapping", { min: 1e-6, default: 30 });
    const attention = {
      rope: readRope(c, { dims: config.headDim, scaled: false }),
      scale: c.number("query_pre_attn_scalar", { min: 1e-6, default: 144 }) ** -0.5,
      softcap: c.number("attn_logit_softcapping", { min: 1e-6, default: 50 }),
    };
    return buildTransformer(config, weights, {
      ...gemmaLayers(config, weights),
      embeddingScale: Math.sqrt(config.hiddenSize),
      attention: () => attention,
      finish: (logits) => softcap(logits, cap),
    });
  },
  ignoredTensors: LEFTOVERS,
};

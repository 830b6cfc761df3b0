/** GLM 4: norms before and after each part, half of the head rotated in pairs. Follows mlx_lm/models/glm4.py. */
import { readDecoderConfig } from "../decoder.ts";
import { FusedGatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const glm4: Architecture = {
  build: (c, weights) => {
    const config = { ...readDecoderConfig(c, { tied: false }), tied: false };
    const rope = readRope(c, { dims: config.headDim, partial: 0.5, traditional: true, scaled: false });
    const bias = c.boolean("attention_bias", { default: false });
    return buildTransformer(config, weights, {
      attention: () => ({ bias, rope }),
      feedForward: (prefix) => new FusedGatedMlp(config, weights, prefix),
      layerNames: { afterAttention: "post_self_attn_layernorm", afterFeedForward: "post_mlp_layernorm" },
    });
  },
  ignoredTensors: LEFTOVERS,
};

/** InternLM 3: llama with separate choices of biases. Follows mlx_lm/models/internlm3.py. */
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const internlm3: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c.withDefaults({ max_position_embeddings: 32768 }), { tied: false });
    const bias = c.boolean("qkv_bias", { default: false });
    const rope = readRope(c, { dims: config.headDim });
    return buildTransformer(config, weights, {
      attention: () => ({ bias, outputBias: bias, rope }),
      mlp: { bias: c.boolean("bias", { default: false }) },
    });
  },
  ignoredTensors: [...LEFTOVERS, /\.rope\.inv_freq$/],
};

/** Helium: llama rotated in pairs. Follows mlx_lm/models/helium.py. */
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const helium: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: false });
    const rope = readRope(c, { dims: config.headDim, base: 100000, traditional: true, scaled: false });
    return buildTransformer(config, weights, {
      attention: () => ({ bias: c.boolean("attention_bias", { default: false }), rope }),
      mlp: { bias: c.boolean("mlp_bias", { default: false }) },
    });
  },
  ignoredTensors: LEFTOVERS,
};

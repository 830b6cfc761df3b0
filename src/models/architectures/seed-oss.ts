/** Seed-OSS: llama with a separate choice of the biases around attention. Follows mlx_lm/models/seed_oss.py. */
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const seedOss: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: true });
    const bias = c.boolean("attention_bias", { default: false });
    const outputBias = c.boolean("attention_out_bias", { default: false });
    const rope = readRope(c, { dims: config.headDim });
    return buildTransformer(config, weights, {
      attention: () => ({ bias, outputBias, rope }),
      mlp: { bias: c.boolean("mlp_bias", { default: false }) },
    });
  },
  ignoredTensors: LEFTOVERS,
};

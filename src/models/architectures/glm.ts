/** GLM 4 of 2024: llama with fused gate and up, rotated in pairs. Follows mlx_lm/models/glm.py. */
import { readDecoderConfig } from "../decoder.ts";
import { FusedGatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const glm: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: true });
    const bias = c.boolean("attention_bias", { default: false });
    // The publisher's code rotates `partial_rotary_factor` of a head, mlx-lm all of it.
    const rope = readRope(c, { dims: config.headDim, traditional: true, scaled: false });
    return buildTransformer(config, weights, {
      attention: () => ({ bias, rope }),
      feedForward: (prefix) => new FusedGatedMlp(config, weights, prefix),
    });
  },
  ignoredTensors: LEFTOVERS,
};

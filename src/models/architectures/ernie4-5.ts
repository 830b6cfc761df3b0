/** ERNIE 4.5, dense: llama rotated in pairs, with one choice for all biases. Follows mlx_lm/models/ernie4_5.py. */
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const ernie4_5: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: true });
    const bias = c.boolean("use_bias", { default: false });
    const rope = readRope(c, { dims: config.headDim, base: 500000, traditional: true, scaled: false });
    return buildTransformer(config, weights, { attention: () => ({ bias, outputBias: bias, rope }), mlp: { bias } });
  },
  ignoredTensors: LEFTOVERS,
};

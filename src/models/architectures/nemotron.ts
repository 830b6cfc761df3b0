/** Nemotron 4 and Minitron: layer norms of 1 + weight, squared relu, half of the head rotated. Follows mlx_lm/models/nemotron.py. */
import { reluSquared } from "../../mlx/fast.ts";
import { readDecoderConfig } from "../decoder.ts";
import { layerNorm } from "../layer-norm.ts";
import { PlainMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const nemotron: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: false });
    const bias = c.boolean("attention_bias", { default: false });
    const rope = readRope(c, { dims: config.headDim, partial: 0.5 });
    const eps = c.number("norm_eps", { min: 0, default: 1e-5 });
    const names = ["up_proj", "down_proj"] as const;
    const mlp = { ...config, bias: c.boolean("mlp_bias", { default: false }), activation: reluSquared, names };
    return buildTransformer(config, weights, {
      attention: () => ({ bias, outputBias: bias, rope }),
      feedForward: (prefix) => new PlainMlp(mlp, weights, prefix),
      norm: (prefix) => layerNorm(weights, prefix, { dim: config.hiddenSize, eps, bias: true, offset: 1 }),
    });
  },
  ignoredTensors: LEFTOVERS,
};

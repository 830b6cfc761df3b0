/** StarCoder 2: layer norms and biases everywhere, an MLP without a gate. Follows mlx_lm/models/starcoder2.py, which knows no windows. */
import { gelu } from "../../mlx/fast.ts";
import { readDecoderConfig } from "../decoder.ts";
import { layerNorm } from "../layer-norm.ts";
import { PlainMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const starcoder2: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c.withDefaults({ vocab_size: 49152 }), { tied: true });
    const rope = readRope(c, { dims: config.headDim, base: 100000, scaled: false });
    const norm = { dim: config.hiddenSize, eps: c.number("norm_epsilon", { min: 0, default: 1e-5 }), bias: true };
    const mlp = { ...config, bias: true, activation: gelu, names: ["c_fc", "c_proj"] } as const;
    return buildTransformer(config, weights, {
      attention: () => ({ bias: true, outputBias: true, rope }),
      feedForward: (prefix) => new PlainMlp(mlp, weights, prefix),
      norm: (prefix) => layerNorm(weights, prefix, norm),
    });
  },
  ignoredTensors: LEFTOVERS,
};

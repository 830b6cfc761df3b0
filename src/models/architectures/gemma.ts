/** Gemma: llama with norms of 1 + weight, scaled token vectors and gelu. Follows mlx_lm/models/gemma.py. */
import { gelu } from "../../mlx/fast.ts";
import * as mx from "../../mlx/ops.ts";
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { gemmaNorm } from "./gemma2.ts";
import { LEFTOVERS } from "./llama.ts";

export const gemma: Architecture = {
  build: (c, weights) => {
    const config = { ...readDecoderConfig(c, { tied: true }), tied: true };
    const rope = readRope(c, { dims: config.headDim, scaled: false });
    return buildTransformer(config, weights, {
      attention: () => ({ rope }),
      mlp: { activation: (gate, up) => mx.multiply(gelu(gate), up) },
      norm: (prefix) => gemmaNorm(weights, prefix, config.hiddenSize, config.normEps),
      embeddingScale: Math.sqrt(config.hiddenSize),
    });
  },
  ignoredTensors: LEFTOVERS,
};

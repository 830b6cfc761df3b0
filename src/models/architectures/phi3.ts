/** Phi 3 and 4: llama with fused matrices, part of the head rotated. Follows mlx_lm/models/phi3.py, which knows no windows. */
import { readDecoderConfig } from "../decoder.ts";
import { FusedGatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const phi3: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: false });
    const rope = readRope(c, { dims: config.headDim, partial: 1 });
    return buildTransformer(config, weights, {
      attention: () => ({ fused: { name: "qkv_proj" }, rope }),
      feedForward: (prefix) => new FusedGatedMlp(config, weights, prefix),
    });
  },
  ignoredTensors: LEFTOVERS,
};

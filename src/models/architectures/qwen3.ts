/** Qwen 3: a norm of each head's queries and keys before the rotation. Follows mlx_lm/models/qwen3.py. */
import { type Decoder, readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import type { Weights } from "../weights.ts";
import { LEFTOVERS } from "./llama.ts";

/** `root`: what stands before the names, where the model is part of another. */
export function buildQwen3(c: ConfigReader, weights: Weights, root = ""): Decoder {
  const config = readDecoderConfig(c, { tied: false });
  const rope = readRope(c, { dims: config.headDim });
  const qkNorm = { over: "head", make: (prefix: string, dim: number) => weights.norm(prefix, dim, config.normEps) } as const;
  return buildTransformer(config, weights, { root, attention: () => ({ rope, qkNorm }) });
}

export const qwen3: Architecture = {
  build: (c, weights) => buildQwen3(c, weights),
  ignoredTensors: LEFTOVERS,
};

/** Qwen 2 and 2.5: llama with biases of queries, keys and values. Follows mlx_lm/models/qwen2.py, which knows no windows. */
import { type Decoder, readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import type { Weights } from "../weights.ts";
import { LEFTOVERS } from "./llama.ts";

/** `root`: what stands before the names, where the model is part of another. */
export function buildQwen2(c: ConfigReader, weights: Weights, root = ""): Decoder {
  const config = readDecoderConfig(c, { tied: true });
  const rope = readRope(c, { dims: config.headDim, base: 1000000 });
  return buildTransformer(config, weights, { root, attention: () => ({ bias: true, rope }) });
}

export const qwen2: Architecture = {
  build: (c, weights) => buildQwen2(c, weights),
  ignoredTensors: LEFTOVERS,
};

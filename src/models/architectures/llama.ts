/** Llama and what shares its shape (mistral). Follows mlx_lm/models/llama.py. */
import { type Decoder, readDecoderConfig } from "../decoder.ts";
import { readLayerTypes } from "../layer-types.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import type { Weights } from "../weights.ts";

/** A tied head is sometimes stored all the same; old checkpoints carry their rope tables. */
export const LEFTOVERS: readonly RegExp[] = [/\.rotary_emb\.inv_freq$/, /lm_head\.(weight|scales|biases)$/];

/** `root`: what stands before the names, where the model is part of another. */
export function buildLlama(c: ConfigReader, weights: Weights, root = ""): Decoder {
  const config = readDecoderConfig(c, { tied: true });
  const attentionBias = c.boolean("attention_bias", { default: false });
  const rope = readRope(c, { dims: config.headDim });
  // Without `layer_types` there is no window at all, whatever `sliding_window` says.
  const sees = readLayerTypes(c, config.layers);
  return buildTransformer(config, weights, {
    root,
    attention: (layer) => ({ bias: attentionBias, outputBias: attentionBias, rope, sees: sees[layer]! }),
    mlp: { bias: c.boolean("mlp_bias", { default: false }) },
  });
}

export const llama: Architecture = {
  build: (c, weights) => buildLlama(c, weights),
  ignoredTensors: LEFTOVERS,
};

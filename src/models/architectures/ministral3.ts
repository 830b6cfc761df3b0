/** Ministral 3: llama whose queries grow with their position. Follows mlx_lm/models/ministral3.py. */
import { StartupError } from "../../errors.ts";
import { type Decoder, readDecoderConfig } from "../decoder.ts";
import { readLayerTypes } from "../layer-types.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { PositionScale } from "../position-scale.ts";
import { readRope, ropeParameters } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import type { Weights } from "../weights.ts";
import { LEFTOVERS } from "./llama.ts";

/** `root`: what stands before the names, where the model is part of another. */
export function buildMinistral3(c: ConfigReader, weights: Weights, root = ""): Decoder {
  const config = readDecoderConfig(c, { tied: true });
  const parameters = ropeParameters(c, "full_attention");
  if (parameters === null) throw new StartupError(`${c.where} has no rope_parameters`);
  const scale = new PositionScale({
    beta: parameters.number("llama_4_scaling_beta"),
    length: parameters.int("original_max_position_embeddings", { min: 1 }),
  });
  const rope = readRope(c, { dims: config.headDim });
  const sees = readLayerTypes(c, config.layers);
  return buildTransformer(config, weights, {
    root,
    attention: (layer) => ({ rope, sees: sees[layer]!, changeQueries: (q, batch) => scale.forward(q, batch) }),
  });
}

export const ministral3: Architecture = {
  build: (c, weights) => buildMinistral3(c, weights),
  ignoredTensors: LEFTOVERS,
};

/** SmolLM 3: llama with layers that know no positions. Follows mlx_lm/models/smollm3.py. */
import { readDecoderConfig } from "../decoder.ts";
import { readLayerTypes } from "../layer-types.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const smollm3: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: true });
    const bias = c.boolean("attention_bias", { default: false });
    const rope = readRope(c, { dims: config.headDim });
    const sees = readLayerTypes(c, config.layers);
    const interval = c.int("no_rope_layer_interval", { min: 1, default: 4 });
    // 1 where a layer has a rotation, despite the name.
    const rotated =
      c.ints("no_rope_layers", { length: config.layers, default: null }) ??
      Array.from({ length: config.layers }, (_, i) => ((i + 1) % interval === 0 ? 0 : 1));
    return buildTransformer(config, weights, {
      attention: (layer) => ({ bias, outputBias: bias, rope: rotated[layer] === 0 ? null : rope, sees: sees[layer]! }),
      mlp: { bias: c.boolean("mlp_bias", { default: false }) },
    });
  },
  ignoredTensors: LEFTOVERS,
};

/** MiMo: Qwen 2 with layers for further tokens, which are left aside. Follows mlx_lm/models/mimo.py. */
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const mimo: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c.withDefaults({ max_position_embeddings: 32768 }), { tied: false });
    const rope = readRope(c, { dims: config.headDim });
    return buildTransformer(config, weights, { attention: () => ({ bias: true, rope }) });
  },
  ignoredTensors: [...LEFTOVERS, /^model\.mtp_layers\./],
};

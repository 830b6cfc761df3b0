/** Granite 3: llama with factors for embeddings, scores, residuals and logits. Follows mlx_lm/models/granite.py. */
import { times } from "../../mlx/fast.ts";
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const granite: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: true });
    const bias = c.boolean("attention_bias", { default: false });
    const rope = readRope(c, { dims: config.headDim });
    const scale = c.number("attention_multiplier");
    const embeddingScale = c.number("embedding_multiplier");
    const residualScale = c.number("residual_multiplier");
    const logitsScaling = c.number("logits_scaling", { min: 1e-6 });
    return buildTransformer(config, weights, {
      attention: () => ({ bias, outputBias: bias, rope, scale }),
      mlp: { bias: c.boolean("mlp_bias", { default: false }) },
      embeddingScale,
      residualScale,
      finish: (logits) => times(logits, 1 / logitsScaling),
    });
  },
  // Their blocks are so even that few levels would lose them.
  precise: /(self_attn\.o_proj|mlp\.down_proj|^lm_head)$/,
  ignoredTensors: LEFTOVERS,
};

/** MiniCPM: llama with scaled embeddings, residuals and logits. Follows mlx_lm/models/minicpm.py. */
import { times } from "../../mlx/fast.ts";
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const minicpm: Architecture = {
  build: (c, weights) => {
    const declared = readDecoderConfig(c, { tied: false });
    // A head that is not stored is the embedding, but its logits are scaled all the same.
    const config = { ...declared, tied: declared.tied || !weights.has("lm_head.weight") };
    const rope = readRope(c, { dims: config.headDim, base: 1000000 });
    const embeddingScale = c.number("scale_emb");
    const logitScale = c.int("dim_model_base", { min: 1 }) / config.hiddenSize;
    return buildTransformer(config, weights, {
      attention: () => ({ rope }),
      embeddingScale,
      residualScale: c.number("scale_depth") / Math.sqrt(config.layers),
      ...(!declared.tied && { finish: (logits) => times(logits, logitScale) }),
    });
  },
  ignoredTensors: LEFTOVERS,
};

/** EXAONE 3 and 3.5: llama under other names. Follows mlx_lm/models/exaone.py. */
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const exaone: Architecture = {
  build: (reader, weights) => {
    const c = reader.with({
      num_hidden_layers: reader.int("num_layers", { min: 1 }),
      rms_norm_eps: reader.number("layer_norm_epsilon", { min: 0 }),
    });
    const config = readDecoderConfig(c, { tied: true });
    const bias = c.boolean("attention_bias", { default: false });
    const rope = readRope(c, { dims: config.headDim });
    return buildTransformer(config, weights, {
      prefix: "transformer",
      names: { embedding: "wte", layers: "h", norm: "ln_f" },
      layerNames: { attention: "attn.attention", beforeAttention: "ln_1", beforeFeedForward: "ln_2" },
      attention: () => ({ rope, bias, outputBias: bias, outputName: "out_proj" }),
      mlp: { bias: c.boolean("mlp_bias", { default: false }), names: ["c_fc_0", "c_fc_1", "c_proj"] },
    });
  },
  ignoredTensors: LEFTOVERS,
};

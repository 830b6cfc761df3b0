/** gpt-oss: sinks, every other layer with a window, experts with biases. Follows mlx_lm/models/gpt_oss.py. */
import { clippedSwiglu } from "../../mlx/fast.ts";
import { readDecoderConfig } from "../decoder.ts";
import { readLayerTypes } from "../layer-types.ts";
import type { Architecture } from "../model.ts";
import { GatedExperts, MixtureOfExperts } from "../moe.ts";
import { readRope } from "../rope-config.ts";
import { checkChoice, topSoftmaxRouter } from "../routing.ts";
import { buildTransformer } from "../transformer.ts";
import { convertOriginalExperts } from "./gpt-oss-tensors.ts";

/** What published configs leave out. */
const DEFAULTS = {
  num_hidden_layers: 36,
  num_local_experts: 128,
  num_experts_per_tok: 4,
  vocab_size: 201088,
  rms_norm_eps: 1e-5,
  hidden_size: 2880,
  intermediate_size: 2880,
  head_dim: 64,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  sliding_window: 128,
};

export const gptOss: Architecture = {
  build: (given, weights) => {
    const c = given.withDefaults(DEFAULTS);
    const config = { ...readDecoderConfig(c, { tied: false }), tied: false };
    const experts = c.int("num_local_experts", { min: 1 });
    const k = c.int("num_experts_per_tok", { min: 1 });
    checkChoice(c.where, experts, { k });
    const rope = readRope(c, { dims: config.headDim, base: 150000 });
    const sees = readLayerTypes(c, config.layers, (layer) => (layer % 2 === 0 ? "sliding_attention" : "full_attention"));
    const expert = { ...config, experts, bias: true, activation: clippedSwiglu };
    return buildTransformer(config, weights, {
      attention: (layer) => ({ bias: true, outputBias: true, sinks: true, rope, sees: sees[layer]! }),
      feedForward: (prefix) =>
        new MixtureOfExperts(
          topSoftmaxRouter(weights.linear(`${prefix}.router`, config.hiddenSize, experts, true), k),
          new GatedExperts(expert, weights, `${prefix}.experts`),
        ),
    });
  },
  sanitize: convertOriginalExperts,
  ignoredTensors: [/\.rotary_emb\.inv_freq$/],
};

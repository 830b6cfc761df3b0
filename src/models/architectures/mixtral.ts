/** Mixtral. Follows mlx_lm/models/mixtral.py, which knows neither windows nor rope scaling. */
import { readDecoderConfig } from "../decoder.ts";
import { NUMBERED_NAMES, stackExperts } from "../expert-tensors.ts";
import type { Architecture } from "../model.ts";
import { GatedExperts, MixtureOfExperts } from "../moe.ts";
import { readRope } from "../rope-config.ts";
import { checkChoice, topSoftmaxRouter } from "../routing.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

/** What published configs leave out. */
const DEFAULTS = {
  vocab_size: 32000,
  hidden_size: 4096,
  intermediate_size: 14336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  num_experts_per_tok: 2,
  num_local_experts: 8,
  rms_norm_eps: 1e-5,
};

export const mixtral: Architecture = {
  build: (given, weights) => {
    // The heads' size is always that of the hidden vector over their number.
    const c = given.withDefaults(DEFAULTS).with({ head_dim: null });
    const config = readDecoderConfig(c, { tied: false });
    const experts = c.int("num_local_experts", { min: 1 });
    const k = c.int("num_experts_per_tok", { min: 1 });
    checkChoice(c.where, experts, { k });
    const rope = readRope(c, { dims: config.headDim, base: 1000000, scaled: false });
    return buildTransformer(config, weights, {
      attention: () => ({ rope }),
      layerNames: { feedForward: "block_sparse_moe" },
      feedForward: (prefix) =>
        new MixtureOfExperts(
          topSoftmaxRouter(weights.linear(`${prefix}.gate`, config.hiddenSize, experts, false), k),
          new GatedExperts({ ...config, experts }, weights, `${prefix}.switch_mlp`),
        ),
    });
  },
  sanitize: (tensors, c) =>
    stackExperts(tensors, { count: c.withDefaults(DEFAULTS).int("num_local_experts"), names: NUMBERED_NAMES }),
  ignoredTensors: LEFTOVERS,
};

/** OLMoE. Follows mlx_lm/models/olmoe.py. */
import { readDecoderConfig } from "../decoder.ts";
import { stackExperts } from "../expert-tensors.ts";
import type { Architecture } from "../model.ts";
import { GatedExperts, MixtureOfExperts } from "../moe.ts";
import { readRope } from "../rope-config.ts";
import { checkChoice, softmaxRouter } from "../routing.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const olmoe: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: true });
    const experts = c.int("num_experts", { min: 1 });
    const k = c.int("num_experts_per_tok", { min: 1 });
    checkChoice(c.where, experts, { k });
    const normalized = c.boolean("norm_topk_prob", { default: false });
    const bias = c.boolean("attention_bias", { default: false });
    const expert = { ...config, experts, bias: c.boolean("mlp_bias", { default: false }) };
    const rope = readRope(c, { dims: config.headDim });
    return buildTransformer(config, weights, {
      attention: () => ({
        bias,
        outputBias: bias,
        rope,
        qkNorm: { over: "projection", make: (prefix, dim) => weights.norm(prefix, dim, config.normEps) },
      }),
      feedForward: (prefix) =>
        new MixtureOfExperts(
          softmaxRouter(weights.linear(`${prefix}.gate`, config.hiddenSize, experts, false), k, normalized),
          new GatedExperts(expert, weights, `${prefix}.switch_mlp`),
        ),
    });
  },
  sanitize: (tensors, c) => stackExperts(tensors, { count: c.int("num_experts") }),
  ignoredTensors: LEFTOVERS,
};

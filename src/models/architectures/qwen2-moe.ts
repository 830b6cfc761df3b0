/** Qwen 1.5 and 2 with experts. Follows mlx_lm/models/qwen2_moe.py, which neither scales rope nor normalises the experts' weights. */
import { readDecoderConfig } from "../decoder.ts";
import { stackExperts } from "../expert-tensors.ts";
import type { Architecture } from "../model.ts";
import { GatedExperts, GatedSharedExpert, MixtureOfExperts } from "../moe.ts";
import { readRope } from "../rope-config.ts";
import { checkChoice, softmaxRouter } from "../routing.ts";
import { buildTransformer } from "../transformer.ts";

export const qwen2Moe: Architecture = {
  build: (given, weights) => {
    // The heads' size is always that of the hidden vector over their number, and the head is never tied.
    const c = given.with({ head_dim: null });
    const config = { ...readDecoderConfig(c, { tied: false }), tied: false };
    const { hiddenSize } = config;
    const experts = c.int("num_experts", { min: 1 });
    const k = c.int("num_experts_per_tok", { min: 1 });
    checkChoice(c.where, experts, { k });
    const expert = { hiddenSize, intermediateSize: c.int("moe_intermediate_size", { min: 1 }), experts };
    const shared = { hiddenSize, intermediateSize: c.int("shared_expert_intermediate_size", { min: 1, max: 2 ** 24 }) };
    const rope = readRope(c, { dims: config.headDim, base: 1000000, scaled: false });
    return buildTransformer(config, weights, {
      attention: () => ({ bias: true, rope }),
      feedForward: (prefix) =>
        new MixtureOfExperts(
          softmaxRouter(weights.linear(`${prefix}.gate`, hiddenSize, experts, false), k, false),
          new GatedExperts(expert, weights, `${prefix}.switch_mlp`),
          new GatedSharedExpert(shared, weights, prefix),
        ),
    });
  },
  sanitize: (tensors, c) => stackExperts(tensors, { count: c.int("num_experts") }),
  ignoredTensors: [/\.rotary_emb\.inv_freq$/],
};

/** Qwen 3 with experts. Follows mlx_lm/models/qwen3_moe.py, which knows no rope scaling. */
import { readDecoderConfig } from "../decoder.ts";
import { stackExperts } from "../expert-tensors.ts";
import { GatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import { GatedExperts, MixtureOfExperts } from "../moe.ts";
import { readRope } from "../rope-config.ts";
import { checkChoice, softmaxRouter } from "../routing.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const qwen3Moe: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: false });
    const experts = c.int("num_experts");
    const k = c.int("num_experts_per_tok", { min: 1 });
    const normalized = c.boolean("norm_topk_prob");
    const expert = { hiddenSize: config.hiddenSize, intermediateSize: c.int("moe_intermediate_size", { min: 1 }), experts };
    const dense = new Set(c.ints("mlp_only_layers", { default: [] }));
    const step = c.int("decoder_sparse_step", { min: 1, default: 1 });
    const rope = readRope(c, { dims: config.headDim, scaled: false });
    if (experts > 0) checkChoice(c.where, experts, { k });
    return buildTransformer(config, weights, {
      attention: () => ({
        rope,
        qkNorm: { over: "head", make: (prefix, dim) => weights.norm(prefix, dim, config.normEps) },
      }),
      feedForward: (prefix, layer) => {
        if (dense.has(layer) || experts === 0 || (layer + 1) % step !== 0) return new GatedMlp(config, weights, prefix);
        const gate = weights.linear(`${prefix}.gate`, config.hiddenSize, experts, false);
        return new MixtureOfExperts(
          softmaxRouter(gate, k, normalized),
          new GatedExperts(expert, weights, `${prefix}.switch_mlp`),
        );
      },
    });
  },
  sanitize: (tensors, c) => stackExperts(tensors, { count: c.int("num_experts") }),
  ignoredTensors: LEFTOVERS,
};

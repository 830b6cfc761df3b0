/** LFM2 with experts after the first layers. Follows mlx_lm/models/lfm2_moe.py. */
import { transposeConvolutions } from "../causal-convolution.ts";
import { NUMBERED_NAMES, stackExperts } from "../expert-tensors.ts";
import { GatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import { GatedExperts, MixtureOfExperts } from "../moe.ts";
import { checkChoice, sigmoidRouter } from "../routing.ts";
import { buildLfm2 } from "./lfm2.ts";

export const lfm2Moe: Architecture = {
  build: (c, weights) => {
    const experts = c.int("num_experts", { min: 1 });
    const choice = {
      k: c.int("num_experts_per_tok", { min: 1 }),
      groups: 1,
      topGroups: 1,
      normalized: c.boolean("norm_topk_prob"),
      eps: 1e-6,
      scale: c.number("routed_scaling_factor", { default: 1 }),
    };
    checkChoice(c.where, experts, choice);
    const intermediateSize = c.int("moe_intermediate_size", { min: 1 });
    const dense = c.int("num_dense_layers");
    const corrected = c.boolean("use_expert_bias");
    return buildLfm2(c, weights, (decoder, prefix, layer) => {
      if (layer < dense) return new GatedMlp(decoder, weights, prefix);
      const gate = weights.linear(`${prefix}.gate`, decoder.hiddenSize, experts, false);
      const correction = corrected ? weights.tensor(`${prefix}.expert_bias`, [experts]) : null;
      const expert = { hiddenSize: decoder.hiddenSize, intermediateSize, experts };
      return new MixtureOfExperts(
        sigmoidRouter(gate, correction, choice),
        new GatedExperts(expert, weights, `${prefix}.switch_mlp`),
      );
    });
  },
  sanitize: (tensors, c) => {
    transposeConvolutions(tensors, /\.conv\.weight$/);
    const names: Readonly<Record<string, string>> = NUMBERED_NAMES;
    tensors.rename((name) => name.replace(/\.(w[123])\./, (_, old: string) => `.${names[old]}.`));
    stackExperts(tensors, { count: c.int("num_experts") });
  },
  ignoredTensors: [/^lm_head\./],
};

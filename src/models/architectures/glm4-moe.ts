/** GLM 4.5 and 4.6. Follows mlx_lm/models/glm4_moe.py, which knows no rope scaling. */
import { readDecoderConfig } from "../decoder.ts";
import { dropFurtherLayers, stackExperts } from "../expert-tensors.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { correctedRouter, readRoutedMlp, readSigmoidChoice, routedMlp } from "../routed-mlp.ts";
import { buildTransformer } from "../transformer.ts";

export const glm4Moe: Architecture = {
  build: (c, weights) => {
    const config = { ...readDecoderConfig(c, { tied: false }), tied: false };
    const spec = readRoutedMlp(c);
    const choice = readSigmoidChoice(c, spec);
    const bias = c.boolean("attention_bias", { default: false });
    const rope = readRope(c, { dims: config.headDim, partial: 1, scaled: false });
    const qkNorm = {
      over: "head" as const,
      make: (prefix: string, dim: number) => weights.norm(prefix, dim, config.normEps),
    };
    const normed = c.boolean("use_qk_norm", { default: false });
    return buildTransformer(config, weights, {
      attention: () => ({ bias, rope, ...(normed && { qkNorm }) }),
      feedForward: (prefix, layer) =>
        routedMlp(spec, weights, prefix, layer, (gate) => correctedRouter(spec, choice, weights, gate)),
    });
  },
  sanitize: (tensors, c) => {
    dropFurtherLayers(tensors, c.int("num_hidden_layers"));
    stackExperts(tensors, { count: c.int("n_routed_experts", { default: 0 }) });
  },
  ignoredTensors: [/\.rotary_emb\.inv_freq$/],
};

/**
 * DeepSeek V3 and R1, and what shares their shape (kimi_k2, glm4_moe_lite). Follows mlx_lm/models/deepseek_v3.py and
 * glm4_moe_lite.py.
 */
import { TransformerBlock } from "../block.ts";
import { buildDecoder, CacheList, readDecoderConfig } from "../decoder.ts";
import { dropFurtherLayers, stackExperts } from "../expert-tensors.ts";
import { LatentAttention, type LatentAttentionSpec } from "../latent-attention.ts";
import { splitLatentProjections } from "../latent-tensors.ts";
import type { Architecture, LanguageModel } from "../model.ts";
import type { ConfigReader, JsonObject } from "../model-config.ts";
import type { Router } from "../moe.ts";
import { readRope, ropeParameters } from "../rope-config.ts";
import { correctedRouter, type RoutedMlpSpec, readRoutedMlp, readSigmoidChoice, routedMlp } from "../routed-mlp.ts";
import type { TensorSet } from "../tensor-set.ts";
import type { Weights } from "../weights.ts";

const LARGEST_DIM = 2 ** 16;
const LATENT_EPS = 1e-6;
const DEFAULTS: JsonObject = { q_lora_rank: 1536 };

function readLatentShape(c: ConfigReader) {
  return {
    heads: c.int("num_attention_heads", { min: 1 }),
    rank: c.int("kv_lora_rank", { min: 1, max: LARGEST_DIM, default: 512 }),
    plainDim: c.int("qk_nope_head_dim", { min: 1, max: LARGEST_DIM, default: 128 }),
    valueDim: c.int("v_head_dim", { min: 1, max: LARGEST_DIM, default: 128 }),
  };
}

function readAttention(c: ConfigReader, latentEps: number): LatentAttentionSpec {
  const shape = readLatentShape(c);
  const rotatedDim = c.int("qk_rope_head_dim", { min: 2, max: LARGEST_DIM, default: 64 });
  const queryRank = c.int("q_lora_rank", { min: 1, max: LARGEST_DIM, default: null });
  return {
    ...shape,
    hiddenSize: c.int("hidden_size", { min: 1 }),
    queryRank,
    rotatedDim,
    bias: c.boolean("attention_bias", { default: false }),
    latentEps,
    rope: readRope(c, { dims: rotatedDim, traditional: true }),
    scale: (shape.plainDim + rotatedDim) ** -0.5 * readYarnScale(c) ** 2,
  };
}

/** With yarn the scores are scaled too. */
function readYarnScale(c: ConfigReader): number {
  const scaling = ropeParameters(c, "full_attention") ?? c.optionalChild("rope_scaling");
  const allDim = scaling?.number("mscale_all_dim", { min: 0, default: 0 }) ?? 0;
  const factor = allDim > 0 ? (scaling?.number("factor", { min: 1e-6 }) ?? 1) : 1;
  return factor > 1 ? 0.1 * allDim * Math.log(factor) + 1 : 1;
}

export interface DeepseekDetails {
  latentEps?: number;
  router: (spec: RoutedMlpSpec) => (weights: Weights, prefix: string) => Router;
}

export function buildDeepseek(
  given: ConfigReader,
  weights: Weights,
  { latentEps = LATENT_EPS, router }: DeepseekDetails,
): LanguageModel {
  const c = given.withDefaults(DEFAULTS);
  const attention = readAttention(c, latentEps);
  // The heads' own sizes are not under the usual names.
  const usual = c.with({ num_key_value_heads: attention.heads, head_dim: attention.rotatedDim });
  const config = { ...readDecoderConfig(usual, { tied: false }), tied: false };
  const spec = readRoutedMlp(c);
  const makeRouter = router(spec);
  const caches = new CacheList();
  return buildDecoder(config, weights, caches, (prefix, layer) => {
    const norm = (name: string) => weights.norm(`${prefix}.${name}`, config.hiddenSize, config.normEps);
    return new TransformerBlock({
      attention: new LatentAttention(attention, weights, `${prefix}.self_attn`, caches),
      attentionNorms: { before: norm("input_layernorm"), after: null },
      feedForward: routedMlp(spec, weights, `${prefix}.mlp`, layer, (gate) => makeRouter(weights, gate)),
      feedForwardNorms: { before: norm("post_attention_layernorm"), after: null },
    });
  });
}

export function sanitizeDeepseek(tensors: TensorSet, c: ConfigReader): void {
  dropFurtherLayers(tensors, c.int("num_hidden_layers"));
  stackExperts(tensors, { count: c.int("n_routed_experts", { default: 0 }) });
  splitLatentProjections(tensors, readLatentShape(c));
}

const corrected = (c: ConfigReader, eps?: number) => (spec: RoutedMlpSpec) => {
  const choice = readSigmoidChoice(c, spec, eps);
  return (weights: Weights, prefix: string) => correctedRouter(spec, choice, weights, prefix);
};

export const deepseekV3: Architecture = {
  build: (c, weights) => buildDeepseek(c, weights, { router: corrected(c) }),
  sanitize: sanitizeDeepseek,
  ignoredTensors: [/\.rotary_emb\.inv_freq$/],
};

/** What published configs of GLM 4.7 Flash leave out. */
const LITE_DEFAULTS: JsonObject = {
  q_lora_rank: 768,
  qk_nope_head_dim: 192,
  v_head_dim: 256,
  first_k_dense_replace: 1,
  n_routed_experts: 64,
  n_shared_experts: 1,
  num_experts_per_tok: 4,
  routed_scaling_factor: 1.8,
  rope_theta: 1000000,
  rms_norm_eps: 1e-5,
};

export const glm4MoeLite: Architecture = {
  build: (given, weights) => {
    const c = given.withDefaults(LITE_DEFAULTS);
    return buildDeepseek(c, weights, {
      latentEps: c.number<never>("rms_norm_eps", { min: 0 }),
      router: corrected(c, 1e-20),
    });
  },
  sanitize: (tensors, c) => sanitizeDeepseek(tensors, c.withDefaults(LITE_DEFAULTS)),
  ignoredTensors: [/\.rotary_emb\.inv_freq$/],
};

/** Command R and R7B: attention and MLP side by side under one layer norm. Follows mlx_lm/models/cohere.py and cohere2.py. */
import { times } from "../../mlx/fast.ts";
import { HeadwiseLayerNorm } from "../../nn/norm.ts";
import type { AttentionDetails } from "../attention.ts";
import { type Decoder, readDecoderConfig } from "../decoder.ts";
import { layerNorm } from "../layer-norm.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import type { Weights } from "../weights.ts";
import { LEFTOVERS } from "./llama.ts";

/** What published configs leave out. */
const DEFAULTS = {
  hidden_size: 8192,
  num_hidden_layers: 40,
  intermediate_size: 22528,
  num_attention_heads: 64,
  num_key_value_heads: 64,
  max_position_embeddings: 8192,
  vocab_size: 256000,
};
const DEFAULTS_2 = {
  ...DEFAULTS,
  hidden_size: 4096,
  head_dim: 128,
  num_hidden_layers: 32,
  intermediate_size: 14336,
  num_attention_heads: 32,
  num_key_value_heads: 8,
};

function build(
  c: ConfigReader,
  weights: Weights,
  attention: (config: { headDim: number; eps: number }) => (layer: number) => AttentionDetails,
): Decoder {
  const config = { ...readDecoderConfig(c, { tied: true }), tied: true };
  const eps = c.number("layer_norm_eps", { min: 0, default: 1e-5 });
  const bias = c.boolean("attention_bias", { default: false });
  const norm = { dim: config.hiddenSize, eps, bias: c.boolean("layer_norm_bias", { default: false }) };
  const logitScale = c.number("logit_scale", { default: 0.0625 });
  const details = attention({ headDim: config.headDim, eps });
  return buildTransformer(config, weights, {
    attention: (layer) => ({ bias, outputBias: bias, ...details(layer) }),
    norm: (prefix) => layerNorm(weights, prefix, norm),
    layerNames: { beforeFeedForward: null },
    parallel: true,
    finish: (logits) => times(logits, logitScale),
  });
}

export const cohere: Architecture = {
  build: (c, weights) =>
    build(c.withDefaults(DEFAULTS), weights, ({ headDim, eps }) => {
      const rope = readRope(c, { dims: headDim, base: 8000000, traditional: true, scaled: false });
      const make = (prefix: string, dim: number, heads: number) =>
        new HeadwiseLayerNorm(weights.tensor(`${prefix}.weight`, [heads, dim]), eps);
      const normed = c.boolean("use_qk_norm", { default: false });
      return () => ({ rope, ...(normed && { qkNorm: { over: "head", make } }) });
    }),
  ignoredTensors: LEFTOVERS,
};

/** Positions enter only where a layer looks at a window; every fourth one sees everything. */
export const cohere2: Architecture = {
  build: (c, weights) =>
    build(c.withDefaults(DEFAULTS_2), weights, ({ headDim }) => {
      const rope = readRope(c, { dims: headDim, base: 50000, traditional: true, scaled: false });
      const pattern = c.int("sliding_window_pattern", { min: 1, default: 4 });
      const window = { kind: "window", size: c.int("sliding_window", { min: 1, default: 4096 }) } as const;
      return (layer) => ((layer + 1) % pattern === 0 ? { rope: null } : { rope, sees: window });
    }),
  ignoredTensors: LEFTOVERS,
};

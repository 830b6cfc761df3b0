/** Llama and what shares its shape. Follows mlx_lm/models/llama.py. */
import { StartupError } from "../errors.ts";
import type { Batch, CacheLayerSpec } from "../kv/cache.ts";
import { swiglu } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Embedding } from "../nn/embedding.ts";
import { type Linear, takeAdapters } from "../nn/linear.ts";
import type { RmsNorm } from "../nn/norm.ts";
import { Rope } from "../nn/rope.ts";
import type { Architecture, LanguageModel } from "./model.ts";
import type { ConfigReader } from "./model-config.ts";
import { readRopeScaling } from "./rope-config.ts";
import type { Weights } from "./weights.ts";

interface LlamaConfig {
  hiddenSize: number;
  layers: number;
  intermediateSize: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  normEps: number;
  vocabSize: number;
  contextLength: number;
  attentionBias: boolean;
  mlpBias: boolean;
  tied: boolean;
  rope: Rope;
}

function readConfig(c: ConfigReader): LlamaConfig {
  const hiddenSize = c.int("hidden_size", { min: 1 });
  const heads = c.int("num_attention_heads", { min: 1 });
  const kvHeads = c.int("num_key_value_heads", { min: 1, default: heads });
  const headDim = c.int("head_dim", { min: 2, default: Math.floor(hiddenSize / heads) });
  if (heads % kvHeads !== 0)
    throw new StartupError(`${c.where}: ${heads} attention heads cannot share ${kvHeads} key-value heads`);
  if (headDim < 2 || headDim % 2 !== 0) throw new StartupError(`${c.where}: head_dim ${headDim} is not an even number`);
  if (c.strings("layer_types", { default: [] }).some((type) => type !== "full_attention")) {
    throw new StartupError(
      `${c.where}: layer_types asks for attention other than full_attention, which this server does not support yet`,
    );
  }
  return {
    hiddenSize,
    heads,
    kvHeads,
    headDim,
    layers: c.int("num_hidden_layers", { min: 1 }),
    intermediateSize: c.int("intermediate_size", { min: 1 }),
    normEps: c.number("rms_norm_eps", { min: 0, default: 1e-6 }),
    vocabSize: c.int("vocab_size", { min: 1 }),
    contextLength: c.int("max_position_embeddings", { min: 1, default: 4096 }),
    attentionBias: c.boolean("attention_bias", { default: false }),
    mlpBias: c.boolean("mlp_bias", { default: false }),
    tied: c.boolean("tie_word_embeddings", { default: true }),
    rope: new Rope({
      dims: headDim,
      base: c.number("rope_theta", { min: 1, default: 10000 }),
      traditional: c.boolean("rope_traditional", { default: false }),
      scaling: readRopeScaling(c),
    }),
  };
}

class Attention {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly o_proj: Linear;
  readonly #config: LlamaConfig;
  readonly #layer: number;

  constructor(config: LlamaConfig, weights: Weights, prefix: string, layer: number) {
    const { hiddenSize, heads, kvHeads, headDim, attentionBias } = config;
    this.q_proj = weights.linear(`${prefix}.q_proj`, hiddenSize, heads * headDim, attentionBias);
    this.k_proj = weights.linear(`${prefix}.k_proj`, hiddenSize, kvHeads * headDim, attentionBias);
    this.v_proj = weights.linear(`${prefix}.v_proj`, hiddenSize, kvHeads * headDim, attentionBias);
    this.o_proj = weights.linear(`${prefix}.o_proj`, heads * headDim, hiddenSize, attentionBias);
    this.#config = config;
    this.#layer = layer;
  }

  forward(x: MxArray, batch: Batch): MxArray {
    const { heads, kvHeads, headDim, rope } = this.#config;
    const q = rope.forward(mx.reshape(this.q_proj.forward(x, batch), [-1, heads, headDim]), batch.positions);
    const k = rope.forward(mx.reshape(this.k_proj.forward(x, batch), [-1, kvHeads, headDim]), batch.positions);
    const v = mx.reshape(this.v_proj.forward(x, batch), [-1, kvHeads, headDim]);
    return this.o_proj.forward(batch.attend(this.#layer, q, k, v, { scale: headDim ** -0.5 }), batch);
  }
}

class Mlp {
  readonly gate_proj: Linear;
  readonly up_proj: Linear;
  readonly down_proj: Linear;

  constructor({ hiddenSize, intermediateSize, mlpBias }: LlamaConfig, weights: Weights, prefix: string) {
    this.gate_proj = weights.linear(`${prefix}.gate_proj`, hiddenSize, intermediateSize, mlpBias);
    this.up_proj = weights.linear(`${prefix}.up_proj`, hiddenSize, intermediateSize, mlpBias);
    this.down_proj = weights.linear(`${prefix}.down_proj`, intermediateSize, hiddenSize, mlpBias);
  }

  forward(x: MxArray, batch: Batch): MxArray {
    return this.down_proj.forward(swiglu(this.gate_proj.forward(x, batch), this.up_proj.forward(x, batch)), batch);
  }
}

class TransformerBlock {
  readonly self_attn: Attention;
  readonly mlp: Mlp;
  readonly input_layernorm: RmsNorm;
  readonly post_attention_layernorm: RmsNorm;

  constructor(config: LlamaConfig, weights: Weights, prefix: string, layer: number) {
    this.self_attn = new Attention(config, weights, `${prefix}.self_attn`, layer);
    this.mlp = new Mlp(config, weights, `${prefix}.mlp`);
    this.input_layernorm = weights.norm(`${prefix}.input_layernorm`, config.hiddenSize, config.normEps);
    this.post_attention_layernorm = weights.norm(`${prefix}.post_attention_layernorm`, config.hiddenSize, config.normEps);
  }

  forward(x: MxArray, batch: Batch): MxArray {
    const h = mx.add(x, this.self_attn.forward(this.input_layernorm.forward(x), batch));
    return mx.add(h, this.mlp.forward(this.post_attention_layernorm.forward(h), batch));
  }
}

class Llama implements LanguageModel {
  readonly embed_tokens: Embedding;
  readonly layers: readonly TransformerBlock[];
  readonly norm: RmsNorm;
  readonly lm_head: Linear | null;
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly cacheLayers: readonly CacheLayerSpec[];

  constructor(config: LlamaConfig, weights: Weights) {
    this.embed_tokens = weights.embedding("model.embed_tokens", config.vocabSize, config.hiddenSize);
    this.layers = Array.from({ length: config.layers }, (_, i) => new TransformerBlock(config, weights, `model.layers.${i}`, i));
    this.norm = weights.norm("model.norm", config.hiddenSize, config.normEps);
    this.lm_head = config.tied ? null : weights.linear("lm_head", config.hiddenSize, config.vocabSize, false);
    this.vocabSize = config.vocabSize;
    this.contextLength = config.contextLength;
    this.cacheLayers = this.layers.map(() => ({ kind: "full", kvHeads: config.kvHeads, headDim: config.headDim }));
  }

  forward(batch: Batch): MxArray {
    let h = this.embed_tokens.forward(batch.tokens);
    for (const layer of this.layers) h = layer.forward(h, batch);
    if (batch.outputs !== null) h = mx.take(h, batch.outputs, 0);
    h = this.norm.forward(h);
    return this.lm_head ? this.lm_head.forward(h, takeAdapters(batch, batch.outputs)) : this.embed_tokens.asLinear(h);
  }
}

export const llama: Architecture = {
  build: (config, weights) => new Llama(readConfig(config), weights),
  // A tied head is sometimes stored all the same; old checkpoints carry their rope tables.
  ignoredTensors: [/\.rotary_emb\.inv_freq$/, /^lm_head\./],
};

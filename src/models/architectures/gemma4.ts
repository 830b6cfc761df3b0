/** Gemma 4, dense, with per-layer embeddings or with experts beside the MLP. Follows mlx_lm/models/gemma4_text.py and gemma4.py. */
import type { Batch, CacheSpec } from "../../kv/cache.ts";
import { geglu, softcap, times } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import type { Embedding } from "../../nn/embedding.ts";
import { type Linear, takeAdapters } from "../../nn/linear.ts";
import type { RmsNorm } from "../../nn/norm.ts";
import type { Parameter } from "../../nn/parameter.ts";
import { CacheList } from "../decoder.ts";
import { cacheOwners, dropSharedKeys, forwardSharing } from "../kv-sharing.ts";
import { GatedMlp } from "../mlp.ts";
import type { Architecture, LanguageModel } from "../model.ts";
import { PerLayerGate, PerLayerInputs } from "../per-layer-inputs.ts";
import { SharingAttention } from "../sharing-attention.ts";
import type { TensorSet } from "../tensor-set.ts";
import { TEXT_ROOT, takeTextPart, textConfig } from "../text-part.ts";
import type { Weights } from "../weights.ts";
import { type Gemma4Config, readFirstShared, readGemma4, TEXT_DEFAULTS } from "./gemma4-config.ts";
import { Gemma4Experts, splitExperts } from "./gemma4-experts.ts";

class Gemma4Layer {
  readonly self_attn: SharingAttention;
  readonly mlp: GatedMlp;
  readonly experts: Gemma4Experts | null;
  readonly gate: PerLayerGate | null;
  readonly layer_scalar: Parameter;
  readonly input_layernorm: RmsNorm;
  readonly post_attention_layernorm: RmsNorm;
  readonly pre_feedforward_layernorm: RmsNorm;
  readonly post_feedforward_layernorm: RmsNorm;

  constructor(config: Gemma4Config, weights: Weights, prefix: string, layer: number, attention: SharingAttention) {
    const { hiddenSize, intermediateSize, normEps, firstShared } = config;
    const norm = (name: string) => weights.norm(`${prefix}.${name}`, hiddenSize, normEps);
    const wide = config.doubleWideMlp && layer >= firstShared && firstShared > 0;
    const mlp = { hiddenSize, intermediateSize: intermediateSize * (wide ? 2 : 1), activation: geglu };
    this.self_attn = attention;
    this.mlp = new GatedMlp(mlp, weights, `${prefix}.mlp`);
    this.experts = config.experts ? new Gemma4Experts({ ...config, ...config.experts }, weights, prefix) : null;
    this.gate = config.perLayer ? new PerLayerGate(config.perLayer, weights, prefix) : null;
    this.layer_scalar = weights.tensor(`${prefix}.layer_scalar`, [1]);
    this.input_layernorm = norm("input_layernorm");
    this.post_attention_layernorm = norm("post_attention_layernorm");
    this.pre_feedforward_layernorm = norm("pre_feedforward_layernorm");
    this.post_feedforward_layernorm = norm("post_feedforward_layernorm");
  }

  /** x [T, hidden]; input [T, perLayerDim] where the model has such. */
  forward(x: MxArray, input: MxArray | undefined, batch: Batch): MxArray {
    const attended = this.self_attn.forward(this.input_layernorm.forward(x), batch);
    const h = mx.add(x, this.post_attention_layernorm.forward(attended));
    const dense = this.mlp.forward(this.pre_feedforward_layernorm.forward(h), batch);
    const fed = this.experts ? this.experts.join(h, dense, batch) : dense;
    let y = mx.add(h, this.post_feedforward_layernorm.forward(fed));
    if (this.gate && input !== undefined) y = mx.add(y, this.gate.forward(y, input, batch));
    return mx.multiply(y, this.layer_scalar.array);
  }
}

class Gemma4Model implements LanguageModel {
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly caches: readonly CacheSpec[];
  readonly embed_tokens: Embedding;
  readonly per_layer: PerLayerInputs | null;
  readonly layers: Gemma4Layer[] = [];
  readonly norm: RmsNorm;
  readonly lm_head: Linear | null;
  readonly #config: Gemma4Config;

  constructor(config: Gemma4Config, weights: Weights, root: string) {
    const { hiddenSize, vocabSize, contextLength, normEps, tied, kinds, firstShared, perLayer } = config;
    const prefix = `${root}model`;
    const caches = new CacheList();
    this.vocabSize = vocabSize;
    this.contextLength = contextLength;
    this.caches = caches.specs;
    this.embed_tokens = weights.embedding(`${prefix}.embed_tokens`, vocabSize, hiddenSize);
    this.per_layer = perLayer ? new PerLayerInputs(perLayer, weights, prefix) : null;
    for (const [i, owner] of cacheOwners(kinds, firstShared).entries()) {
      const layer = `${prefix}.layers.${i}`;
      const shared = owner === i ? null : this.layers[owner]!.self_attn.cache;
      const attention = new SharingAttention(config.attention(i), weights, `${layer}.self_attn`, shared, caches);
      this.layers.push(new Gemma4Layer(config, weights, layer, i, attention));
    }
    this.norm = weights.norm(`${prefix}.norm`, hiddenSize, normEps);
    this.lm_head = tied ? null : weights.linear(`${root}lm_head`, hiddenSize, vocabSize, false);
    this.#config = config;
  }

  forward(batch: Batch): MxArray {
    const { logitCap } = this.#config;
    const h = this.hidden(batch);
    const logits = this.lm_head?.forward(h, takeAdapters(batch, batch.outputs)) ?? this.embed_tokens.asLinear(h);
    return logitCap === null ? logits : softcap(logits, logitCap);
  }

  /** What the head gets: [outputs, hidden], after the last norm. */
  hidden(batch: Batch): MxArray {
    const { hiddenSize, firstShared } = this.#config;
    const h = times(this.embed_tokens.forward(batch.tokens), Math.sqrt(hiddenSize));
    return this.norm.forward(forwardSharing(this.layers, firstShared, h, this.per_layer?.forward(h, batch), batch));
  }
}

/** Ranges of activations that quantization-aware training leaves behind. */
const RANGES = /input_max|input_min|output_max|output_min|self_attn\.rotary_emb/;

function sanitizeText(tensors: TensorSet, firstShared: number): void {
  tensors.drop(RANGES);
  dropSharedKeys(tensors, firstShared);
  splitExperts(tensors);
}

export const gemma4Text: Architecture = {
  build: (config, weights) => new Gemma4Model(readGemma4(config.withDefaults(TEXT_DEFAULTS)), weights, ""),
  sanitize: (tensors, config) => sanitizeText(tensors, readFirstShared(config.withDefaults(TEXT_DEFAULTS))),
  ignoredTensors: [/^lm_head\./],
};

/** Gemma 4 with its vision and audio parts, of which the language model alone is served. */
export const gemma4: Architecture = {
  build: (config, weights) => new Gemma4Model(readGemma4(textConfig(config).withDefaults(TEXT_DEFAULTS)), weights, TEXT_ROOT),
  sanitize: (tensors, config) => {
    takeTextPart(tensors);
    sanitizeText(tensors, readFirstShared(textConfig(config).withDefaults(TEXT_DEFAULTS)));
  },
  ignoredTensors: [/^language_model\.lm_head\./],
};

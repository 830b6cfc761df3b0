/** Decoders of gated delta nets and gated attention: what Qwen3-Next and Qwen 3.5 share. */
import { dtypeOf, scalar } from "../mlx/array.ts";
import * as mx from "../mlx/ops.ts";
import { type Layer, TransformerBlock } from "./block.ts";
import { buildDecoder, CacheList, type Decoder, type DecoderConfig, readDecoderConfig } from "./decoder.ts";
import { GatedAttention } from "./gated-attention.ts";
import { type DeltaNetSpec, type DeltaProjections, GatedDeltaNet, readDeltaNet } from "./gated-delta-net.ts";
import type { ConfigReader } from "./model-config.ts";
import { type FeedForward, GatedExperts, GatedSharedExpert, MixtureOfExperts } from "./moe.ts";
import { readRope } from "./rope-config.ts";
import { checkChoice, softmaxRouter } from "./routing.ts";
import type { TensorSet } from "./tensor-set.ts";
import type { Weights } from "./weights.ts";

/** What tells the models of this family from one another. */
export interface DeltaHybridSpec {
  /** Where the model is part of another. */
  root?: string;
  projections(spec: DeltaNetSpec, prefix: string): DeltaProjections;
  feedForward(config: DecoderConfig, prefix: string, layer: number): FeedForward;
}

/** Gated delta nets with gated attention in every `full_attention_interval`-th layer. */
export function buildDeltaHybrid(c: ConfigReader, weights: Weights, hybrid: DeltaHybridSpec): Decoder {
  const config = readDecoderConfig(c, { tied: false });
  const { hiddenSize, headDim, normEps } = config;
  const interval = c.int("full_attention_interval", { min: 1, default: 4 });
  const delta = readDeltaNet(c, hiddenSize, normEps);
  const rope = readRope(c, { dims: headDim, base: 100000, partial: 0.25 });
  const attention = { ...config, rope, bias: c.boolean("attention_bias", { default: false }) };
  const caches = new CacheList();
  const mixer = (prefix: string, layer: number): Layer => {
    if ((layer + 1) % interval === 0) return new GatedAttention(attention, weights, `${prefix}.self_attn`, caches);
    const at = `${prefix}.linear_attn`;
    return new GatedDeltaNet(delta, hybrid.projections(delta, at), weights, at, caches);
  };
  const norm = (prefix: string) => ({ before: weights.norm(prefix, hiddenSize, normEps), after: null });
  const block = (prefix: string, layer: number) =>
    new TransformerBlock({
      attention: mixer(prefix, layer),
      attentionNorms: norm(`${prefix}.input_layernorm`),
      feedForward: hybrid.feedForward(config, `${prefix}.mlp`, layer),
      feedForwardNorms: norm(`${prefix}.post_attention_layernorm`),
    });
  return buildDecoder(config, weights, caches, block, { root: hybrid.root ?? "" });
}

/** Experts with a gated shared one. Makes the part at a prefix; null: the config knows none. */
export function readSharedMixture(c: ConfigReader, weights: Weights): ((prefix: string) => MixtureOfExperts) | null {
  const experts = c.int("num_experts", { default: 0 });
  if (experts === 0) return null;
  const hiddenSize = c.int("hidden_size", { min: 1 });
  const k = c.int("num_experts_per_tok", { min: 1 });
  checkChoice(c.where, experts, { k });
  const normalized = c.boolean("norm_topk_prob", { default: false });
  const expert = { hiddenSize, intermediateSize: c.int("moe_intermediate_size", { min: 1 }), experts };
  const shared = { hiddenSize, intermediateSize: c.int("shared_expert_intermediate_size", { min: 1 }) };
  return (prefix) =>
    new MixtureOfExperts(
      softmaxRouter(weights.linear(`${prefix}.gate`, hiddenSize, experts, false), k, normalized),
      new GatedExperts(expert, weights, `${prefix}.switch_mlp`),
      new GatedSharedExpert(shared, weights, prefix),
    );
}

const NORMS = /\.(input_layernorm|post_attention_layernorm|q_norm|k_norm)\.weight$|(^|\.)model\.norm\.weight$/;

/** The publisher's norms multiply by 1 + w. */
export function raiseNorms(tensors: TensorSet): void {
  tensors.derive(
    tensors
      .names()
      .filter((name) => NORMS.test(name))
      .map((name) => ({
        name,
        shape: tensors.get(name)!.shape,
        from: [name],
        compute: ([weight]) => mx.add(weight!, mx.astype(scalar(1), dtypeOf(weight!))),
      })),
  );
}

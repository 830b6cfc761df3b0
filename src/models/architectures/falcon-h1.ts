/** Falcon H1: Mamba-2 beside attention in every layer. Follows mlx_lm/models/falcon_h1.py. */
import type { Batch } from "../../kv/cache.ts";
import { swiglu, times } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import { GatedRmsNorm } from "../../nn/gated-norm.ts";
import { Attention, type AttentionSpec } from "../attention.ts";
import { type Layer, TransformerBlock } from "../block.ts";
import { hasOriginalConvolutions, readTaps, transposeConvolutions } from "../causal-convolution.ts";
import { buildDecoder, CacheList, type DecoderConfig, readDecoderConfig } from "../decoder.ts";
import { checkMamba2, type Gating, Mamba2Mixer, type Mamba2Spec } from "../mamba2-mixer.ts";
import { GatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import type { Weights } from "../weights.ts";
import { foldMultipliers } from "./falcon-h1-multipliers.ts";

/** What published configs leave out. */
const DEFAULTS = {
  attention_in_multiplier: 1,
  attention_out_multiplier: 0.9375,
  embedding_multiplier: 5.656854249492381,
  head_dim: 64,
  key_multiplier: 0.390625,
  lm_head_multiplier: 0.0390625,
  mamba_d_conv: 4,
  mamba_d_head: 64,
  mamba_d_ssm: 1536,
  mamba_d_state: 128,
  mamba_n_groups: 1,
  mamba_n_heads: 24,
  max_position_embeddings: 131072,
  mlp_multipliers: [0.8838834764831844, 0.5859375],
  rms_norm_eps: 1e-5,
  ssm_in_multiplier: 1.25,
  ssm_multipliers: [0.3535533905932738, 0.25, 0.3535533905932738, 0.5, 0.3535533905932738],
  ssm_out_multiplier: 0.23570226039551587,
};

function readMamba(c: ConfigReader, { hiddenSize }: DecoderConfig): Mamba2Spec {
  const spec = {
    hiddenSize,
    heads: c.int("mamba_n_heads", { min: 1, max: 2 ** 16 }),
    headDim: c.int("mamba_d_head", { min: 1, max: 2 ** 16 }),
    groups: c.int("mamba_n_groups", { min: 1, max: 2 ** 16 }),
    stateSize: c.int("mamba_d_state", { min: 1, max: 2 ** 16 }),
    taps: readTaps(c, "mamba_d_conv"),
    convolutionBias: c.boolean("mamba_conv_bias", { default: true }),
    bias: c.boolean("mamba_proj_bias", { default: false }),
    outputBias: c.boolean("projectors_bias", { default: false }),
    limits: [0, Number.POSITIVE_INFINITY] as const,
  };
  checkMamba2(c.where, spec);
  return spec;
}

/** The sum of two mixers of the same input. */
class SideBySide implements Layer {
  readonly mamba: Mamba2Mixer;
  readonly self_attn: Attention;

  constructor(mamba: Mamba2Mixer, attention: Attention) {
    this.mamba = mamba;
    this.self_attn = attention;
  }

  forward(x: MxArray, batch: Batch): MxArray {
    return mx.add(this.mamba.forward(x, batch), this.self_attn.forward(x, batch));
  }
}

function readGating(c: ConfigReader, spec: Mamba2Spec, eps: number, weights: Weights): (prefix: string) => Gating {
  if (!c.boolean("mamba_rms_norm", { default: false })) return () => (y, gate) => swiglu(gate, y);
  const gateLast = c.boolean("mamba_norm_before_gate", { default: false });
  return (prefix) => {
    const weight = weights.tensor(`${prefix}.norm.weight`, [spec.heads * spec.headDim]);
    const norm = new GatedRmsNorm(weight, { eps, gateLast });
    return (y, gate) => norm.forward(y, gate);
  };
}

export const falconH1: Architecture = {
  build: (reader, weights) => {
    const c = reader.withDefaults(DEFAULTS);
    const config = readDecoderConfig(c, { tied: true });
    const { hiddenSize, normEps, headDim, tied } = config;
    const spec = readMamba(c, config);
    const gating = readGating(c, spec, normEps, weights);
    const bias = c.boolean("attention_bias", { default: false });
    const rope = readRope(c, { dims: headDim, base: 100000000000 });
    const attention: AttentionSpec = { ...config, bias, outputBias: bias, rope };
    const mlp = { ...config, bias: c.boolean("mlp_bias", { default: false }) };
    const caches = new CacheList();
    const norm = (prefix: string) => ({ before: weights.norm(prefix, hiddenSize, normEps), after: null });
    const block = (prefix: string) =>
      new TransformerBlock({
        attention: new SideBySide(
          new Mamba2Mixer(spec, gating(`${prefix}.mamba`), weights, `${prefix}.mamba`, caches),
          new Attention(attention, weights, `${prefix}.self_attn`, caches),
        ),
        attentionNorms: norm(`${prefix}.input_layernorm`),
        feedForward: new GatedMlp(mlp, weights, `${prefix}.feed_forward`),
        feedForwardNorms: norm(`${prefix}.pre_ff_layernorm`),
      });
    const factor = c.number("lm_head_multiplier") / c.number("embedding_multiplier");
    return buildDecoder(config, weights, caches, block, {
      names: { norm: "final_layernorm" },
      ...(tied && { finish: (logits: MxArray) => times(logits, factor) }),
    });
  },
  sanitize: (tensors, reader) => {
    if (hasOriginalConvolutions(tensors)) foldMultipliers(tensors, reader.withDefaults(DEFAULTS));
    transposeConvolutions(tensors, /\.conv1d\.weight$/);
  },
  ignoredTensors: [/^lm_head\./],
};

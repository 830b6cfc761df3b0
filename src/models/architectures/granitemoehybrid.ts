/** Granite 4: Mamba-2 or attention, then experts with a shared one, or a plain MLP. Follows mlx_lm/models/granitemoehybrid.py. */
import { StartupError } from "../../errors.ts";
import type { Batch } from "../../kv/cache.ts";
import { times } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import { GatedRmsNorm } from "../../nn/gated-norm.ts";
import { Attention } from "../attention.ts";
import { type Layer, TransformerBlock } from "../block.ts";
import { readTaps, transposeConvolutions } from "../causal-convolution.ts";
import { buildDecoder, CacheList, type DecoderConfig, readDecoderConfig } from "../decoder.ts";
import { checkMamba2, Mamba2Mixer, type Mamba2Spec, readStepLimits } from "../mamba2-mixer.ts";
import { FusedGatedMlp, GatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { type FeedForward, GatedExperts, MixtureOfExperts } from "../moe.ts";
import { readRope } from "../rope-config.ts";
import { checkChoice, topSoftmaxRouter } from "../routing.ts";
import { halvesOf } from "../tensor-halves.ts";
import type { TensorSet } from "../tensor-set.ts";
import type { Weights } from "../weights.ts";

const readExperts = (c: ConfigReader) => c.int("num_local_experts", { default: 0 });

function readMamba(c: ConfigReader, { hiddenSize }: DecoderConfig): Mamba2Spec {
  const spec = {
    hiddenSize,
    heads: c.int("mamba_n_heads", { min: 1, max: 2 ** 16 }),
    headDim: c.int("mamba_d_head", { min: 1, max: 2 ** 16 }),
    groups: c.int("mamba_n_groups", { min: 1, max: 2 ** 16 }),
    stateSize: c.int("mamba_d_state", { min: 1, max: 2 ** 16 }),
    taps: readTaps(c, "mamba_d_conv"),
    convolutionBias: c.boolean("mamba_conv_bias"),
    bias: c.boolean("mamba_proj_bias"),
    limits: readStepLimits(c, "time_step_limit", [0.001, 100]),
  };
  checkMamba2(c.where, spec);
  return spec;
}

/** Experts and a shared MLP beside them. */
class SharedMixture implements FeedForward {
  readonly block_sparse_moe: MixtureOfExperts;
  readonly shared_mlp: FusedGatedMlp;

  constructor(mixture: MixtureOfExperts, shared: FusedGatedMlp) {
    this.block_sparse_moe = mixture;
    this.shared_mlp = shared;
  }

  forward(x: MxArray, batch: Batch): MxArray {
    return mx.add(this.block_sparse_moe.forward(x, batch), this.shared_mlp.forward(x, batch));
  }
}

/** Makes the feed-forward part of the layer at a prefix. */
function readFeedForward(c: ConfigReader, config: DecoderConfig, weights: Weights): (prefix: string) => Layer {
  const { hiddenSize } = config;
  const experts = readExperts(c);
  if (experts === 0) {
    const mlp = { ...config, bias: c.boolean("mlp_bias", { default: false }) };
    return (prefix) => new GatedMlp(mlp, weights, `${prefix}.mlp`);
  }
  const k = c.int("num_experts_per_tok", { min: 1 });
  checkChoice(c.where, experts, { k });
  const names = ["input_linear", "output_linear"] as const;
  const shared = { hiddenSize, intermediateSize: c.int("shared_intermediate_size", { min: 1, max: 2 ** 24 }), names };
  return (prefix) => {
    const at = `${prefix}.block_sparse_moe`;
    const mixture = new MixtureOfExperts(
      topSoftmaxRouter(weights.linear(`${at}.router.layer`, hiddenSize, experts, false), k),
      new GatedExperts({ ...config, experts }, weights, `${at}.switch_mlp`),
    );
    return new SharedMixture(mixture, new FusedGatedMlp(shared, weights, `${prefix}.shared_mlp`));
  };
}

/** Which layers attend; the others are Mamba. */
function readAttentionLayers(c: ConfigReader, layers: number): boolean[] {
  const types = c.strings("layer_types");
  if (types.length !== layers) throw new StartupError(`${c.where}: layer_types has ${types.length} entries for ${layers} layers`);
  return types.map((type) => {
    if (type === "attention" || type === "mamba") return type === "attention";
    throw new StartupError(`${c.where}: layer_types has the unknown entry ${JSON.stringify(type.slice(0, 40))}`);
  });
}

/** Gate and up are one tensor as published: of all experts, and, in models without experts, of the MLP. */
function splitInputs(tensors: TensorSet, dense: boolean): void {
  const input = dense ? /shared_mlp\.input_linear\.weight$/ : /block_sparse_moe\.input_linear\.weight$/;
  const to = dense ? "mlp." : "block_sparse_moe.switch_mlp.";
  const names = tensors.names().filter((name) => input.test(name));
  tensors.derive(
    names.flatMap((name) =>
      halvesOf(tensors, name, [name.replace(input, `${to}gate_proj.weight`), name.replace(input, `${to}up_proj.weight`)]),
    ),
  );
  const output = dense ? /shared_mlp\.output_linear\.weight$/ : /block_sparse_moe\.output_linear\.weight$/;
  tensors.rename((name) => name.replace(output, `${to}down_proj.weight`));
}

export const graniteMoeHybrid: Architecture = {
  build: (given, weights) => {
    // The heads' size is always that of the hidden vector over their number.
    const c = given.with({ head_dim: null });
    const config = readDecoderConfig(c, { tied: true });
    const { hiddenSize, headDim, normEps, layers } = config;
    const attends = readAttentionLayers(c, layers);
    const bias = c.boolean("attention_bias");
    const rotated = c.string("position_embedding_type", { default: "rope" }) !== "nope";
    const rope = rotated ? readRope(c, { dims: headDim, scaled: false }) : null;
    const attention = { ...config, rope, bias, outputBias: bias, scale: c.number("attention_multiplier") };
    const mamba = attends.includes(false) ? readMamba(c, config) : null;
    const feedForward = readFeedForward(c, config, weights);
    const residualScale = c.number("residual_multiplier");
    const divisor = c.number("logits_scaling", { min: 1e-6 });
    const caches = new CacheList();
    const mixer = (prefix: string, layer: number): Layer => {
      if (mamba === null || attends[layer]) return new Attention(attention, weights, `${prefix}.self_attn`, caches);
      const weight = weights.tensor(`${prefix}.mamba.norm.weight`, [mamba.heads * mamba.headDim]);
      const gated = new GatedRmsNorm(weight, { eps: normEps });
      return new Mamba2Mixer(mamba, (y, gate) => gated.forward(y, gate), weights, `${prefix}.mamba`, caches);
    };
    const norm = (prefix: string) => ({ before: weights.norm(prefix, hiddenSize, normEps), after: null });
    const block = (prefix: string, layer: number) =>
      new TransformerBlock({
        attention: mixer(prefix, layer),
        attentionNorms: norm(`${prefix}.input_layernorm`),
        feedForward: feedForward(prefix),
        feedForwardNorms: norm(`${prefix}.post_attention_layernorm`),
        residualScale,
      });
    return buildDecoder(config, weights, caches, block, {
      embeddingScale: c.number<never>("embedding_multiplier"),
      finish: (logits) => times(logits, 1 / divisor),
    });
  },
  sanitize: (tensors, c) => {
    transposeConvolutions(tensors, /\.conv1d\.weight$/);
    splitInputs(tensors, readExperts(c) === 0);
  },
  ignoredTensors: [/^lm_head\./],
};

/** Nemotron-H: each block is Mamba-2, attention, a plain MLP or experts. Follows mlx_lm/models/nemotron_h.py. */
import { StartupError } from "../../errors.ts";
import { dtypeOf, scalar } from "../../mlx/array.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import { GatedRmsNorm } from "../../nn/gated-norm.ts";
import { Attention } from "../attention.ts";
import type { Layer } from "../block.ts";
import { readTaps, transposeConvolutions } from "../causal-convolution.ts";
import { buildDecoder, CacheList, type DecoderConfig, readDecoderConfig } from "../decoder.ts";
import { stackExperts } from "../expert-tensors.ts";
import { checkMamba2, Mamba2Mixer, type Mamba2Spec, readStepLimits } from "../mamba2-mixer.ts";
import { PlainMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { SingleBlock } from "../single-block.ts";
import { PlainMixture, readExperts } from "./nemotron-h-experts.ts";

type BlockKind = "M" | "*" | "-" | "E";

const KINDS: Readonly<Record<string, BlockKind>> = {
  full_attention: "*",
  linear_attention: "M",
  moe: "E",
  mlp: "-",
  attention: "*",
  mamba: "M",
  conv: "M",
};

/** relu(x)^2 */
const relu2 = (x: MxArray): MxArray => mx.square(mx.maximum(x, mx.astype(scalar(0), dtypeOf(x))));

/** A string of letters, a list of such, or a list of words. */
function readPattern(c: ConfigReader): BlockKind[] {
  const unknown = (kind: string) =>
    new StartupError(`${c.where}: the unknown kind of block ${JSON.stringify(kind.slice(0, 40))}`);
  const letters = c.strings("hybrid_override_pattern", { default: null });
  const kinds = letters
    ? [...letters.join("")]
    : c.strings(["layers_block_type", "layer_types"]).map((word) => KINDS[word] ?? word);
  return kinds.map((kind) => {
    if (kind === "M" || kind === "*" || kind === "-" || kind === "E") return kind;
    throw unknown(kind);
  });
}

function readMamba(c: ConfigReader, { hiddenSize }: DecoderConfig): Mamba2Spec {
  const spec: Mamba2Spec = {
    hiddenSize,
    heads: c.int("mamba_num_heads", { min: 1, max: 2 ** 16 }),
    headDim: c.int("mamba_head_dim", { min: 1, max: 2 ** 16 }),
    groups: c.int("n_groups", { min: 1, max: 2 ** 16 }),
    stateSize: c.int("ssm_state_size", { min: 1, max: 2 ** 16 }),
    taps: readTaps(c, "conv_kernel"),
    convolutionBias: c.boolean("use_conv_bias"),
    bias: c.boolean("mamba_proj_bias"),
    limits: readStepLimits(c, "time_step_limit", [0, Number.POSITIVE_INFINITY]),
  };
  checkMamba2(c.where, spec);
  return spec;
}

export const nemotronH: Architecture = {
  build: (reader, weights) => {
    const pattern = readPattern(reader);
    const eps = reader.number("layer_norm_epsilon", { min: 0 });
    const c = reader.with({ num_hidden_layers: pattern.length, rms_norm_eps: eps });
    const config = { ...readDecoderConfig(c, { tied: false }), tied: false };
    const { hiddenSize, intermediateSize, normEps } = config;
    const attentionBias = c.boolean("attention_bias");
    const attention = { ...config, rope: null, bias: attentionBias, outputBias: attentionBias };
    const mlp = {
      hiddenSize,
      intermediateSize,
      bias: c.boolean("mlp_bias"),
      activation: relu2,
      names: ["up_proj", "down_proj"] as const,
    };
    const experts = pattern.includes("E") ? readExperts(c) : null;
    const mamba = readMamba(c, config);
    const inner = mamba.heads * mamba.headDim;
    const caches = new CacheList();
    const mixer = (kind: BlockKind, prefix: string): Layer => {
      if (kind === "*") return new Attention(attention, weights, prefix, caches);
      if (kind === "-") return new PlainMlp(mlp, weights, prefix);
      if (kind === "E" && experts !== null) return new PlainMixture(experts, mlp, weights, prefix);
      const weight = weights.tensor(`${prefix}.norm.weight`, [inner]);
      const gated = new GatedRmsNorm(weight, { eps: normEps, groups: mamba.groups });
      return new Mamba2Mixer(mamba, (y, gate) => gated.forward(y, gate), weights, prefix, caches);
    };
    const block = (prefix: string, layer: number) =>
      new SingleBlock(weights.norm(`${prefix}.norm`, hiddenSize, normEps), mixer(pattern[layer] ?? "-", `${prefix}.mixer`));
    return buildDecoder(config, weights, caches, block, {
      prefix: "backbone",
      names: { embedding: "embeddings", norm: "norm_f" },
    });
  },
  sanitize: (tensors, c) => {
    tensors.drop(/^mtp\./);
    stackExperts(tensors, {
      count: c.int("n_routed_experts", { default: 0 }),
      names: { up_proj: "fc1", down_proj: "fc2" },
    });
    transposeConvolutions(tensors, /\.conv1d\.weight$/);
  },
  precise: /\.mixer\.gate$/,
};

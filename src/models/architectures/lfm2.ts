/** LFM2: short gated convolutions, attention in some layers. Follows mlx_lm/models/lfm2.py. */
import { StartupError } from "../../errors.ts";
import type { Batch } from "../../kv/cache.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import { cutColumns } from "../../nn/columns.ts";
import type { Linear } from "../../nn/linear.ts";
import { Attention } from "../attention.ts";
import { type Layer, TransformerBlock } from "../block.ts";
import { CausalConvolution, readTaps, transposeConvolutions } from "../causal-convolution.ts";
import { buildDecoder, CacheList, type Decoder, type DecoderConfig, readDecoderConfig } from "../decoder.ts";
import { GatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import type { Weights } from "../weights.ts";

interface ShortConvolutionSpec {
  hiddenSize: number;
  taps: number;
  bias: boolean;
}

/** out(C conv(B x)), with B, C and x from one projection. */
class ShortConvolution implements Layer {
  readonly in_proj: Linear;
  readonly conv: CausalConvolution;
  readonly out_proj: Linear;
  readonly #hiddenSize: number;

  constructor({ hiddenSize, taps, bias }: ShortConvolutionSpec, weights: Weights, prefix: string, caches: CacheList) {
    this.in_proj = weights.linear(`${prefix}.in_proj`, hiddenSize, 3 * hiddenSize, bias);
    this.conv = new CausalConvolution({ channels: hiddenSize, taps, bias, silu: false }, weights, `${prefix}.conv`, caches);
    this.out_proj = weights.linear(`${prefix}.out_proj`, hiddenSize, hiddenSize, bias);
    this.#hiddenSize = hiddenSize;
  }

  forward(x: MxArray, batch: Batch): MxArray {
    const widths = [this.#hiddenSize, this.#hiddenSize, this.#hiddenSize];
    const [b, c, inputs] = cutColumns(this.in_proj.forward(x, batch), widths) as [MxArray, MxArray, MxArray];
    return this.out_proj.forward(mx.multiply(c, this.conv.forward(mx.multiply(b, inputs), batch)), batch);
  }
}

/** Which layers attend. */
function readAttentionLayers(c: ConfigReader, layers: number): boolean[] {
  const indexes = c.ints("full_attn_idxs", { default: null });
  if (indexes !== null) return Array.from({ length: layers }, (_, i) => indexes.includes(i));
  const types = c.strings("layer_types");
  if (types.length !== layers) throw new StartupError(`${c.where}: layer_types has ${types.length} entries for ${layers} layers`);
  return types.map((type) => type === "full_attention");
}

/** `config`: with the fields that other models have for the norms and the feed-forward parts. */
export function buildLfm2(
  config: ConfigReader,
  weights: Weights,
  feedForward: (decoder: DecoderConfig, prefix: string, layer: number) => Layer,
): Decoder {
  const c = config.with({ rms_norm_eps: config.number("norm_eps", { min: 0 }), head_dim: null });
  // The head is the embedding, whatever the config says.
  const decoder = { ...readDecoderConfig(c, { tied: true }), tied: true };
  const { hiddenSize, normEps, layers, headDim } = decoder;
  const attends = readAttentionLayers(c, layers);
  const convolution = { hiddenSize, taps: readTaps(c, "conv_L_cache"), bias: c.boolean("conv_bias") };
  const attention = {
    ...decoder,
    outputName: "out_proj",
    rope: readRope(c, { dims: headDim, base: 1000000, scaled: false }),
    qkNorm: {
      over: "head" as const,
      names: ["q_layernorm", "k_layernorm"] as const,
      make: (prefix: string, dim: number) => weights.norm(prefix, dim, normEps),
    },
  };
  const caches = new CacheList();
  const norm = (prefix: string) => ({ before: weights.norm(prefix, hiddenSize, normEps), after: null });
  const block = (prefix: string, layer: number) =>
    new TransformerBlock({
      attention: attends[layer]
        ? new Attention(attention, weights, `${prefix}.self_attn`, caches)
        : new ShortConvolution(convolution, weights, `${prefix}.conv`, caches),
      attentionNorms: norm(`${prefix}.operator_norm`),
      feedForward: feedForward(decoder, `${prefix}.feed_forward`, layer),
      feedForwardNorms: norm(`${prefix}.ffn_norm`),
    });
  return buildDecoder(decoder, weights, caches, block, { names: { norm: "embedding_norm" } });
}

/** Two thirds of what is configured, times a factor, rounded up. */
function feedForwardSize(c: ConfigReader): number {
  const size = c.int(["block_ff_dim", "intermediate_size"], { min: 1 });
  if (!c.boolean("block_auto_adjust_ff_dim")) return size;
  const factor = c.number("block_ffn_dim_multiplier", { min: 0, default: 1 });
  const multiple = c.int("block_multiple_of", { min: 1 });
  return multiple * Math.ceil(Math.floor(Math.floor((2 * size) / 3) * factor) / multiple);
}

export const lfm2: Architecture = {
  build: (c, weights) => {
    const config = c.with({ intermediate_size: feedForwardSize(c) });
    return buildLfm2(
      config,
      weights,
      (decoder, prefix) => new GatedMlp({ ...decoder, names: ["w1", "w3", "w2"] }, weights, prefix),
    );
  },
  sanitize: (tensors) => transposeConvolutions(tensors, /\.conv\.weight$/),
  ignoredTensors: [/^lm_head\./],
};

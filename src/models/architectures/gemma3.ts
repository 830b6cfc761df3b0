/** Gemma 3: sliding layers with a rope of their own between full ones. Follows mlx_lm/models/gemma3_text.py and gemma3.py. */
import { dtypeOf, scalar } from "../../mlx/array.ts";
import { DTYPES } from "../../mlx/dtype.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import { Rope } from "../../nn/rope.ts";
import type { AttentionDetails } from "../attention.ts";
import { type DecoderConfig, readDecoderConfig } from "../decoder.ts";
import type { Architecture, LanguageModel } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import { TEXT_ROOT, takeTextPart, textConfig } from "../text-part.ts";
import { buildTransformer } from "../transformer.ts";
import type { Weights } from "../weights.ts";
import { gemmaLayers, gemmaNorm } from "./gemma2.ts";

/** What published configs leave out. */
const DEFAULTS = {
  hidden_size: 1152,
  num_hidden_layers: 26,
  intermediate_size: 6912,
  num_attention_heads: 4,
  num_key_value_heads: 1,
  head_dim: 256,
  vocab_size: 262144,
  max_position_embeddings: 32768,
  query_pre_attn_scalar: 256,
  sliding_window: 512,
  sliding_window_pattern: 6,
};
const NESTED_DEFAULTS = { ...DEFAULTS, num_attention_heads: 8, num_key_value_heads: 4, vocab_size: 262208 };

const LARGEST_HALF = 65504;

/** x + y; float16 is held at its bounds instead of overflowing. */
function addClipped(x: MxArray, y: MxArray): MxArray {
  if (dtypeOf(x) !== DTYPES.float16) return mx.add(x, y);
  const sum = mx.add(mx.astype(x, DTYPES.float32), mx.astype(y, DTYPES.float32));
  return mx.astype(mx.maximum(mx.minimum(sum, scalar(LARGEST_HALF)), scalar(-LARGEST_HALF)), DTYPES.float16);
}

/** The nearest bfloat16: the model was trained with an embedding scale of that type. */
function roundToBfloat16(value: number): number {
  const bits = new DataView(new ArrayBuffer(4));
  bits.setFloat32(0, value);
  const word = bits.getUint32(0);
  bits.setUint32(0, (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000);
  return bits.getFloat32(0);
}

/** Attention of the layers that look at a window, and of those that look at everything. */
function readAttention(
  c: ConfigReader,
  weights: Weights,
  { headDim: dims, normEps }: DecoderConfig,
): Record<"sliding" | "full", AttentionDetails> {
  const sliding = c
    .optionalChild("rope_parameters")
    ?.optionalChild("sliding_attention")
    ?.number("rope_theta", { min: 1, default: null });
  const base = c.number("rope_local_base_freq", { min: 1, default: sliding ?? 10000 });
  const window = c.int("sliding_window", { min: 1 });
  const shared: AttentionDetails = {
    rope: readRope(c, { dims, base: 1000000 }),
    scale: c.number("query_pre_attn_scalar", { min: 1e-6 }) ** -0.5,
    qkNorm: { over: "head", make: (prefix, dim) => gemmaNorm(weights, prefix, dim, normEps) },
  };
  return {
    full: shared,
    sliding: {
      ...shared,
      rope: new Rope({ dims, base, traditional: false, scaling: { kind: "none" } }),
      sees: { kind: "window", size: window },
    },
  };
}

function build(c: ConfigReader, weights: Weights, root: string): LanguageModel {
  // Without a tensor for it the head is the embedding, whatever the config says.
  const config = { ...readDecoderConfig(c, { tied: true }), tied: !weights.has(`${root}lm_head.weight`) };
  const pattern = c.int("sliding_window_pattern", { min: 1 });
  const { sliding, full } = readAttention(c, weights, config);
  return buildTransformer(config, weights, {
    ...gemmaLayers(config, weights),
    root,
    embeddingScale: roundToBfloat16(Math.sqrt(config.hiddenSize)),
    attention: (layer) => ((layer + 1) % pattern === 0 ? full : sliding),
    addResidual: addClipped,
  });
}

export const gemma3Text: Architecture = {
  build: (config, weights) => build(config.withDefaults(DEFAULTS), weights, ""),
  ignoredTensors: [/\.rotary_emb\.inv_freq$/],
};

/** Gemma 3 with its vision tower, of which the language model alone is served. */
export const gemma3: Architecture = {
  build: (config, weights) => build(textConfig(config).withDefaults(NESTED_DEFAULTS), weights, TEXT_ROOT),
  sanitize: takeTextPart,
  ignoredTensors: gemma3Text.ignoredTensors ?? [],
};

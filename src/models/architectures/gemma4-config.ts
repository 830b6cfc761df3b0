import { StartupError } from "../../errors.ts";
import { type DecoderConfig, readDecoderConfig } from "../decoder.ts";
import { readLayerTypes } from "../layer-types.ts";
import type { ConfigReader } from "../model-config.ts";
import { type PerLayerSpec, readPerLayer } from "../per-layer-inputs.ts";
import { readRope } from "../rope-config.ts";
import type { SharingAttentionSpec } from "../sharing-attention.ts";

export interface Gemma4Config extends DecoderConfig {
  /** Layers of the same kind may share caches. */
  kinds: string[];
  /** The first layer that reads the cache of another. */
  firstShared: number;
  /** Layers that share have an MLP of twice the size. */
  doubleWideMlp: boolean;
  perLayer: PerLayerSpec | null;
  experts: { experts: number; chosen: number; expertSize: number } | null;
  logitCap: number | null;
  attention(layer: number): SharingAttentionSpec;
}

/** What published configs may leave out. */
export const TEXT_DEFAULTS = {
  hidden_size: 1536,
  num_hidden_layers: 35,
  intermediate_size: 6144,
  num_attention_heads: 8,
  num_key_value_heads: 1,
  head_dim: 256,
  global_head_dim: 512,
  vocab_size: 262144,
  vocab_size_per_layer_input: 262144,
  hidden_size_per_layer_input: 256,
  num_kv_shared_layers: 20,
  sliding_window: 512,
  sliding_window_pattern: 5,
  max_position_embeddings: 131072,
  final_logit_softcapping: 30,
  use_double_wide_mlp: true,
};

const ROPE_DEFAULTS = {
  full_attention: { partial_rotary_factor: 0.25, rope_theta: 1000000, rope_type: "proportional" },
  sliding_attention: { rope_theta: 10000, rope_type: "default" },
};

export function readFirstShared(c: ConfigReader): number {
  const layers = c.int("num_hidden_layers", { min: 1 });
  return layers - c.int("num_kv_shared_layers", { max: layers });
}

/** `c` is the language model's part of the config, with `TEXT_DEFAULTS`. */
export function readGemma4(c: ConfigReader): Gemma4Config {
  const config = readDecoderConfig(c, { tied: true });
  const { layers } = config;
  const pattern = c.int("sliding_window_pattern", { min: 1, default: 5 });
  const sees = readLayerTypes(c, layers, (i) => ((i + 1) % pattern === 0 ? "full_attention" : "sliding_attention"));
  const full = readAttention(c, config, "full_attention");
  const sliding = readAttention(c, config, "sliding_attention");
  const perLayer = c.int("hidden_size_per_layer_input", { default: 0 }) > 0 ? { ...config, ...readPerLayer(c) } : null;
  return {
    ...config,
    kinds: sees.map(({ kind }) => kind),
    firstShared: readFirstShared(c),
    doubleWideMlp: c.boolean("use_double_wide_mlp", { default: false }),
    perLayer,
    experts: c.boolean("enable_moe_block", { default: false }) ? readExperts(c) : null,
    logitCap: c.number("final_logit_softcapping", { min: 1e-6, default: null }),
    attention: (layer) => ({ ...(sees[layer]!.kind === "full" ? full : sliding), sees: sees[layer]! }),
  };
}

function readExperts(c: ConfigReader) {
  return {
    experts: c.int("num_experts", { min: 1 }),
    chosen: c.int("top_k_experts", { min: 1 }),
    expertSize: c.int("moe_intermediate_size", { min: 1 }),
  };
}

function readAttention(c: ConfigReader, config: DecoderConfig, layerType: string): Omit<SharingAttentionSpec, "sees"> {
  const { hiddenSize, heads, normEps } = config;
  const full = layerType === "full_attention";
  const keysAreValues = full && c.boolean("attention_k_eq_v", { default: false });
  const headDim = (full && c.int("global_head_dim", { max: 2 ** 16, default: 0 })) || config.headDim;
  const kvHeads = (keysAreValues && c.int("num_global_key_value_heads", { default: 0 })) || config.kvHeads;
  if (heads % kvHeads !== 0 || headDim % 2 !== 0) {
    throw new StartupError(
      `${c.where}: ${heads} heads of ${headDim} do not fit ${kvHeads} key-value heads in ${layerType} layers`,
    );
  }
  const ropes = c.has("rope_parameters") ? c : c.with({ rope_parameters: ROPE_DEFAULTS });
  return { hiddenSize, heads, kvHeads, headDim, normEps, keysAreValues, rope: readRope(ropes, { dims: headDim, layerType }) };
}

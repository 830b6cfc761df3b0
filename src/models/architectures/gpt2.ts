/** GPT-2 and GPT-BigCode (StarCoder 1): learned positions, no rotation. Follows mlx_lm/models/gpt2.py and gpt_bigcode.py. */
import type { Batch } from "../../kv/cache.ts";
import { gelu, geluApprox } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import { type Decoder, readDecoderConfig } from "../decoder.ts";
import { layerNorm } from "../layer-norm.ts";
import { PlainMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import type { TensorSet } from "../tensor-set.ts";
import { buildTransformer } from "../transformer.ts";
import type { Weights } from "../weights.ts";
import { LEFTOVERS } from "./llama.ts";

interface Variant {
  /** Of the names. */
  prefix: string;
  activation: (x: MxArray) => MxArray;
  attentionBias: boolean;
  mlpBias: boolean;
}

/** Its fields under the usual names. */
function usualNames(c: ConfigReader, kvHeads: number): ConfigReader {
  const width = c.int("n_embd", { min: 1, max: 2 ** 20 });
  return c.with({
    hidden_size: width,
    num_hidden_layers: c.int("n_layer", { min: 1, max: 4096 }),
    num_attention_heads: c.int("n_head", { min: 1, max: 2 ** 16 }),
    num_key_value_heads: kvHeads,
    intermediate_size: c.int("n_inner", { min: 1, max: 2 ** 24, default: null }) ?? 4 * width,
    max_position_embeddings: c.int("n_positions", { min: 1, max: 2 ** 30 }),
  });
}

function build(c: ConfigReader, weights: Weights, { prefix, activation, attentionBias, mlpBias }: Variant): Decoder {
  const config = readDecoderConfig(c, { tied: true });
  const norm = { dim: config.hiddenSize, eps: c.number("layer_norm_epsilon", { min: 0, default: 1e-5 }), bias: true };
  const mlp = { ...config, bias: mlpBias, activation, names: ["c_fc", "c_proj"] } as const;
  const positions = weights.embedding(`${prefix}.wpe`, config.contextLength, config.hiddenSize);
  return buildTransformer(config, weights, {
    prefix,
    names: { embedding: "wte", layers: "h", norm: "ln_f" },
    layerNames: { attention: "attn", beforeAttention: "ln_1", beforeFeedForward: "ln_2" },
    attention: () => ({
      fused: { name: "c_attn" },
      bias: attentionBias,
      outputName: "c_proj",
      outputBias: attentionBias,
      rope: null,
    }),
    feedForward: (at) => new PlainMlp(mlp, weights, at),
    norm: (at) => layerNorm(weights, at, norm),
    changeEmbeddings: (h: MxArray, batch: Batch) => mx.add(h, positions.forward(batch.positions)),
  });
}

/** Masks that were stored with the weights. */
const MASKS = /\.attn\.(bias|masked_bias)$/;

/** The publisher stores its matrices with the inputs first. */
const INPUTS_FIRST = /\.(c_attn|c_proj|c_fc)\.weight$/;

function takeGpt2(tensors: TensorSet): void {
  // mlx-lm's own checkpoints have the prefix, and their matrices as usual.
  if (tensors.names().some((name) => name.startsWith("model."))) return;
  tensors.derive(
    tensors
      .names()
      .filter((name) => name.search(INPUTS_FIRST) >= 0)
      .map((name) => ({
        name,
        shape: [...(tensors.get(name)?.shape ?? [])].reverse(),
        from: [name],
        compute: ([weight]) => mx.transpose(weight!, [1, 0]),
      })),
  );
  tensors.rename((name) => `model.${name.replace(/^transformer\./, "")}`);
}

export const gpt2: Architecture = {
  build: (reader, weights) => {
    const heads = reader.int("n_head", { min: 1, max: 2 ** 16 });
    const c = usualNames(reader, heads).with({ tie_word_embeddings: true });
    return build(c, weights, { prefix: "model", activation: geluApprox, attentionBias: true, mlpBias: true });
  },
  sanitize: takeGpt2,
  ignoredTensors: [...LEFTOVERS, MASKS],
};

export const gptBigcode: Architecture = {
  build: (reader, weights) => {
    const multiQuery = reader.boolean("multi_query", { default: true });
    const c = usualNames(reader, multiQuery ? 1 : reader.int("n_head", { min: 1, max: 2 ** 16 }));
    return build(c, weights, {
      prefix: "transformer",
      activation: gelu,
      attentionBias: c.boolean("attention_bias", { default: true }),
      mlpBias: c.boolean("mlp_bias", { default: true }),
    });
  },
  ignoredTensors: [...LEFTOVERS, MASKS],
};

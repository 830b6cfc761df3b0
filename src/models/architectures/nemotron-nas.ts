/**
 * Llama-Nemotron Super and Ultra: llama whose layers differ, as a search has found them: with more or fewer key heads, wider or narrower, a
 * part replaced by a linear layer or left out. Follows mlx_lm/models/nemotron-nas.py.
 */
import { StartupError } from "../../errors.ts";
import type { Batch } from "../../kv/cache.ts";
import { gelu, geluApprox, swiglu } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import type { Rope } from "../../nn/rope.ts";
import { Attention } from "../attention.ts";
import type { Layer } from "../block.ts";
import { type Block, buildDecoder, CacheList, type DecoderConfig, type Norm, readDecoderConfig } from "../decoder.ts";
import { GatedMlp, type MlpSpec } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import type { Weights } from "../weights.ts";
import { LEFTOVERS } from "./llama.ts";

type Activation = NonNullable<MlpSpec["activation"]>;

const gated =
  (activation: (gate: MxArray) => MxArray): Activation =>
  (gate, up) =>
    mx.multiply(activation(gate), up);

const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  silu: swiglu,
  gelu: gated(gelu),
  gelu_new: gated(geluApprox),
  gelu_fast: gated(geluApprox),
};

/** Parts one after the other, each added to what it got. */
class Residuals implements Block {
  readonly #parts: readonly { norm: Norm; layer: Layer }[];

  constructor(parts: readonly { norm: Norm; layer: Layer }[]) {
    this.#parts = parts;
  }

  forward(x: MxArray, batch: Batch): MxArray {
    return this.#parts.reduce((h, { norm, layer }) => mx.add(h, layer.forward(norm.forward(h), batch)), x);
  }
}

interface Shared {
  config: DecoderConfig;
  rope: Rope;
  attentionBias: boolean;
  mlpBias: boolean;
  activation: Activation;
}

/** What stands in a part's place; `usual` makes the part itself. */
function readPart<T>(c: ConfigReader, linear: () => T, usual: () => T): T | null {
  if (c.boolean("no_op", { default: false })) return null;
  return c.boolean("replace_with_linear", { default: false }) ? linear() : usual();
}

function buildAttention(c: ConfigReader, shared: Shared, weights: Weights, prefix: string, caches: CacheList): Layer | null {
  const { config, rope, attentionBias: bias } = shared;
  return readPart<Layer>(
    c,
    () => weights.linear(`${prefix}.linear`, config.hiddenSize, config.hiddenSize, bias),
    () => {
      const group = c.int("n_heads_in_group", { min: 1 });
      if (config.heads % group !== 0)
        throw new StartupError(`${c.where}: ${config.heads} attention heads are no groups of ${group}`);
      const spec = { ...config, kvHeads: config.heads / group, rope, bias, outputBias: bias };
      return new Attention(spec, weights, prefix, caches);
    },
  );
}

function buildFeedForward(c: ConfigReader, shared: Shared, weights: Weights, prefix: string): Layer | null {
  const { config, mlpBias: bias, activation } = shared;
  return readPart<Layer>(
    c,
    () => weights.linear(`${prefix}.linear`, config.hiddenSize, config.hiddenSize, bias),
    () => {
      const multiple = Math.round(c.number("ffn_mult", { min: 1e-6, max: 1024 }) * 1e6) / 1e6;
      const intermediateSize = 256 * Math.ceil(Math.floor((2 * multiple * config.hiddenSize) / 3) / 256);
      return new GatedMlp({ ...config, intermediateSize, bias, activation }, weights, prefix);
    },
  );
}

export const nemotronNas: Architecture = {
  build: (c, weights) => {
    // The layers have widths of their own.
    const config = readDecoderConfig(c.with({ intermediate_size: 1 }), { tied: false });
    const shared: Shared = {
      config,
      rope: readRope(c, { dims: config.headDim, base: 500000 }),
      attentionBias: c.boolean("attention_bias", { default: false }),
      mlpBias: c.boolean("mlp_bias", { default: false }),
      activation: ACTIVATIONS[c.string("hidden_act", { oneOf: Object.keys(ACTIVATIONS), default: "silu" })]!,
    };
    const blocks = c.children("block_configs", { length: config.layers });
    const caches = new CacheList();
    return buildDecoder(config, weights, caches, (prefix, i) => {
      const norm = (name: string) => weights.norm(`${prefix}.${name}`, config.hiddenSize, config.normEps);
      const attention = buildAttention(blocks[i]!.child("attention"), shared, weights, `${prefix}.self_attn`, caches);
      const feedForward = buildFeedForward(blocks[i]!.child("ffn"), shared, weights, `${prefix}.mlp`);
      return new Residuals([
        ...(attention ? [{ norm: norm("input_layernorm"), layer: attention }] : []),
        ...(feedForward ? [{ norm: norm("post_attention_layernorm"), layer: feedForward }] : []),
      ]);
    });
  },
  ignoredTensors: LEFTOVERS,
};

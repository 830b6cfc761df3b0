/** Llama and what shares its shape (mistral). Follows mlx_lm/models/llama.py. */
import type { AttentionCache, Batch } from "../../kv/cache.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import type { RmsNorm } from "../../nn/norm.ts";
import { Rope } from "../../nn/rope.ts";
import { Attention, type AttentionSpec } from "../attention.ts";
import { buildDecoder, CacheList, type DecoderConfig, readDecoderConfig } from "../decoder.ts";
import { readLayerTypes } from "../layer-types.ts";
import { GatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRopeScaling } from "../rope-config.ts";
import type { Weights } from "../weights.ts";

interface LlamaConfig extends DecoderConfig {
  attentionBias: boolean;
  mlpBias: boolean;
  rope: Rope;
  /** What the tokens of each layer see. */
  sees: Pick<AttentionCache, "kind" | "size">[];
}

function readConfig(c: ConfigReader): LlamaConfig {
  const config = readDecoderConfig(c, { tied: true });
  return {
    ...config,
    attentionBias: c.boolean("attention_bias", { default: false }),
    mlpBias: c.boolean("mlp_bias", { default: false }),
    rope: new Rope({
      dims: config.headDim,
      base: c.number("rope_theta", { min: 1, default: 10000 }),
      traditional: c.boolean("rope_traditional", { default: false }),
      scaling: readRopeScaling(c),
    }),
    // Without `layer_types` there is no window at all, whatever `sliding_window` says.
    sees: readLayerTypes(c, config.layers),
  };
}

class TransformerBlock {
  readonly self_attn: Attention;
  readonly mlp: GatedMlp;
  readonly input_layernorm: RmsNorm;
  readonly post_attention_layernorm: RmsNorm;

  constructor(config: LlamaConfig, weights: Weights, prefix: string, layer: number, caches: CacheList) {
    const { hiddenSize, normEps, attentionBias, mlpBias } = config;
    const attention: AttentionSpec = { ...config, bias: attentionBias, outputBias: attentionBias, sees: config.sees[layer]! };
    this.self_attn = new Attention(attention, weights, `${prefix}.self_attn`, caches);
    this.mlp = new GatedMlp({ ...config, bias: mlpBias }, weights, `${prefix}.mlp`);
    this.input_layernorm = weights.norm(`${prefix}.input_layernorm`, hiddenSize, normEps);
    this.post_attention_layernorm = weights.norm(`${prefix}.post_attention_layernorm`, hiddenSize, normEps);
  }

  forward(x: MxArray, batch: Batch): MxArray {
    const h = mx.add(x, this.self_attn.forward(this.input_layernorm.forward(x), batch));
    return mx.add(h, this.mlp.forward(this.post_attention_layernorm.forward(h), batch));
  }
}

export const llama: Architecture = {
  build: (reader, weights) => {
    const config = readConfig(reader);
    const caches = new CacheList();
    return buildDecoder(config, weights, caches, (prefix, i) => new TransformerBlock(config, weights, prefix, i, caches));
  },
  // A tied head is sometimes stored all the same; old checkpoints carry their rope tables.
  ignoredTensors: [/\.rotary_emb\.inv_freq$/, /^lm_head\./],
};

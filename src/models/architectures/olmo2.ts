/** OLMo 2 and 3: norms after each part instead of before, one norm of all heads' queries. Follows mlx_lm/models/olmo2.py and olmo3.py. */
import type { AttentionDetails } from "../attention.ts";
import { type Decoder, type DecoderConfig, readDecoderConfig } from "../decoder.ts";
import { readLayerTypes } from "../layer-types.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer, type LayerNames } from "../transformer.ts";
import type { Weights } from "../weights.ts";
import { LEFTOVERS } from "./llama.ts";

/** Of layers with norms behind their parts only. */
export const NORMS_AFTER: Partial<LayerNames> = {
  beforeAttention: null,
  afterAttention: "post_attention_layernorm",
  beforeFeedForward: null,
  afterFeedForward: "post_feedforward_layernorm",
};

/** `differing`: what the attention of each layer has of its own. */
function build(
  c: ConfigReader,
  weights: Weights,
  config: DecoderConfig,
  differing: (layer: number) => Pick<AttentionDetails, "rope" | "sees">,
): Decoder {
  const bias = c.boolean("attention_bias", { default: false });
  const make = (prefix: string, dim: number) => weights.norm(prefix, dim, config.normEps);
  return buildTransformer(config, weights, {
    attention: (layer) => ({ bias, outputBias: bias, qkNorm: { over: "projection", make }, ...differing(layer) }),
    mlp: { bias: c.boolean("mlp_bias", { default: false }) },
    layerNames: NORMS_AFTER,
  });
}

export const olmo2: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: true });
    const rope = readRope(c, { dims: config.headDim });
    return build(c, weights, config, () => ({ rope }));
  },
  ignoredTensors: LEFTOVERS,
};

/** Three layers with a window to each full one; only these have their positions scaled. */
export const olmo3: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: false });
    const full = readRope(c, { dims: config.headDim });
    const sliding = readRope(c, { dims: config.headDim, layerType: "sliding_attention", scaled: false });
    const sees = readLayerTypes(c, config.layers, (i) => ((i + 1) % 4 === 0 ? "full_attention" : "sliding_attention"));
    return build(c, weights, config, (layer) => ({
      rope: sees[layer]!.kind === "full" ? full : sliding,
      sees: sees[layer]!,
    }));
  },
  ignoredTensors: LEFTOVERS,
};

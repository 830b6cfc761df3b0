/** OLMo 1 in the layout of hf_olmo: norms without weights, fused matrices. Follows mlx_lm/models/olmo.py. */
import { swiglu } from "../../mlx/fast.ts";
import { LayerNorm } from "../../nn/norm.ts";
import { readDecoderConfig } from "../decoder.ts";
import { FusedGatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";

/** Its fields under the usual names. */
function usualNames(c: ConfigReader): ConfigReader {
  const width = c.int("d_model", { min: 1, max: 2 ** 20 });
  const ratio = c.int("mlp_ratio", { min: 1, max: 64, default: 4 });
  // Of gate and up together.
  const inner = c.int("mlp_hidden_size", { min: 2, max: 2 ** 24, default: null }) ?? ratio * width;
  return c.with({
    hidden_size: width,
    num_hidden_layers: c.int("n_layers", { min: 1, max: 4096 }),
    num_attention_heads: c.int("n_heads", { min: 1, max: 2 ** 16 }),
    intermediate_size: Math.floor(inner / 2),
    vocab_size: c.int(["embedding_size", "vocab_size"], { min: 1, max: 2 ** 24 }),
    max_position_embeddings: c.int(["max_sequence_length", "max_position_embeddings"], { min: 1, default: 2048 }),
    tie_word_embeddings: c.boolean("weight_tying", { default: false }),
  });
}

export const olmo: Architecture = {
  build: (reader, weights) => {
    const c = usualNames(reader);
    const config = readDecoderConfig(c, { tied: false });
    const rope = readRope(c, { dims: config.headDim, scaled: false });
    const mlp = { ...config, names: ["ff_proj", "ff_out"], activation: swigluReversed } as const;
    return buildTransformer(config, weights, {
      prefix: "model.transformer",
      names: { embedding: "wte", layers: "blocks", head: "model.transformer.ff_out" },
      attention: () => ({ fused: { name: "att_proj" }, outputName: "attn_out", rope }),
      feedForward: (prefix) => new FusedGatedMlp(mlp, weights, prefix),
      norm: () => new LayerNorm(null, null, 1e-5),
      layerNames: { attention: "", feedForward: "" },
    });
  },
};

/** The gate comes second. */
const swigluReversed: typeof swiglu = (up, gate) => swiglu(gate, up);

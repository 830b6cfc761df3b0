/** Phi 1.5 and 2: attention and MLP side by side under one layer norm, biases everywhere. Follows mlx_lm/models/phi.py. */
import { geluApprox } from "../../mlx/fast.ts";
import { readDecoderConfig } from "../decoder.ts";
import { layerNorm } from "../layer-norm.ts";
import { PlainMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import { readRope } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

/** What published configs leave out. */
const DEFAULTS = {
  max_position_embeddings: 2048,
  vocab_size: 51200,
  hidden_size: 2560,
  num_attention_heads: 32,
  num_hidden_layers: 32,
  intermediate_size: 10240,
};

export const phi: Architecture = {
  build: (reader, weights) => {
    const c = reader.withDefaults(DEFAULTS);
    const config = { ...readDecoderConfig(c, { tied: false }), tied: false };
    const rope = readRope(c, { dims: config.headDim, partial: 0.4, scaled: false });
    const norm = { dim: config.hiddenSize, eps: c.number("layer_norm_eps", { min: 0, default: 1e-5 }), bias: true };
    const mlp = { ...config, bias: true, activation: geluApprox, names: ["fc1", "fc2"] } as const;
    return buildTransformer(config, weights, {
      attention: () => ({ bias: true, outputBias: true, outputName: "dense", rope }),
      feedForward: (prefix) => new PlainMlp(mlp, weights, prefix),
      norm: (prefix) => layerNorm(weights, prefix, norm),
      layerNames: { beforeFeedForward: null },
      parallel: true,
      names: { norm: "final_layernorm" },
      headBias: true,
    });
  },
  ignoredTensors: LEFTOVERS,
};

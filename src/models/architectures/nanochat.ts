/** nanochat: norms without weights, squared relu, rotation the other way round, capped logits. Follows mlx_lm/models/nanochat.py. */
import { reluSquared, rmsNorm, softcap } from "../../mlx/fast.ts";
import type { MxArray } from "../../mlx/ffi.ts";
import { Rope } from "../../nn/rope.ts";
import { readDecoderConfig } from "../decoder.ts";
import { PlainMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import { readRopeOptions } from "../rope-config.ts";
import { buildTransformer } from "../transformer.ts";

/** What published configs leave out. */
const DEFAULTS = {
  hidden_size: 1280,
  num_hidden_layers: 20,
  num_attention_heads: 10,
  num_key_value_heads: 10,
  vocab_size: 65536,
  max_position_embeddings: 2048,
  intermediate_size: 5120,
};
const CAP = 15;
const NORM = { forward: (x: MxArray) => rmsNorm(x, null, 1e-5) };

export const nanochat: Architecture = {
  build: (reader, weights) => {
    const c = reader.withDefaults(DEFAULTS);
    const config = { ...readDecoderConfig(c, { tied: false }), tied: false };
    const rope = new Rope({ ...readRopeOptions(c, { dims: config.headDim }), scaling: { kind: "linear", factor: -1 } });
    const mlp = { ...config, bias: false, activation: reluSquared, names: ["c_fc", "c_proj"] } as const;
    return buildTransformer(config, weights, {
      prefix: "transformer",
      names: { embedding: "wte", layers: "h" },
      layerNames: { attention: "attn" },
      attention: () => ({
        inputNames: ["c_q", "c_k", "c_v"],
        outputName: "c_proj",
        rope,
        qkNorm: { over: "head", afterRope: true, make: () => NORM },
      }),
      feedForward: (prefix) => new PlainMlp(mlp, weights, prefix),
      norm: () => NORM,
      changeEmbeddings: (h) => NORM.forward(h),
      finish: (logits) => softcap(logits, CAP),
    });
  },
};

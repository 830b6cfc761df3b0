/** Mamba-2: no attention at all. Follows mlx_lm/models/mamba2.py. */
import { GatedRmsNorm } from "../../nn/gated-norm.ts";
import { readTaps, transposeConvolutions } from "../causal-convolution.ts";
import { buildDecoder, CacheList } from "../decoder.ts";
import { checkMamba2, Mamba2Mixer, type Mamba2Spec, readStepLimits } from "../mamba2-mixer.ts";
import type { Architecture } from "../model.ts";
import type { ConfigReader } from "../model-config.ts";
import { SingleBlock } from "../single-block.ts";

/** Nothing in the model knows of positions: what a sequence may have where the config does not say. */
const ANY_LENGTH = 2 ** 18;
/** Of the blocks' norms, whatever the config says. */
const BLOCK_EPS = 1e-5;

function readSpec(c: ConfigReader): Mamba2Spec {
  const spec: Mamba2Spec = {
    hiddenSize: c.int("hidden_size", { min: 1 }),
    heads: c.int("num_heads", { min: 1, max: 2 ** 16 }),
    headDim: c.int("head_dim", { min: 1 }),
    groups: c.int("n_groups", { min: 1, max: 2 ** 16 }),
    stateSize: c.int(["ssm_state_size", "state_size"], { min: 1, max: 2 ** 16 }),
    taps: readTaps(c, "conv_kernel"),
    convolutionBias: c.boolean("use_conv_bias"),
    bias: c.boolean("use_bias"),
    limits: readStepLimits(c, "time_step_limit", [0, Number.POSITIVE_INFINITY]),
  };
  checkMamba2(c.where, spec);
  return spec;
}

export const mamba2: Architecture = {
  build: (c, weights) => {
    const spec = readSpec(c);
    const { hiddenSize, heads, headDim } = spec;
    const inner = heads * headDim;
    const normEps = c.number("layer_norm_epsilon", { min: 0 });
    const caches = new CacheList();
    const config = {
      hiddenSize,
      heads,
      kvHeads: heads,
      headDim,
      normEps,
      layers: c.int("num_hidden_layers", { min: 1 }),
      vocabSize: c.int("vocab_size", { min: 1 }),
      contextLength: c.int("max_position_embeddings", { min: 1, default: ANY_LENGTH }),
      tied: c.boolean("tie_word_embeddings"),
    };
    return buildDecoder(
      config,
      weights,
      caches,
      (prefix) => {
        const gated = new GatedRmsNorm(weights.tensor(`${prefix}.mixer.norm.weight`, [inner]), { eps: normEps });
        const mixer = new Mamba2Mixer(spec, (y, gate) => gated.forward(y, gate), weights, `${prefix}.mixer`, caches);
        return new SingleBlock(weights.norm(`${prefix}.norm`, hiddenSize, BLOCK_EPS), mixer);
      },
      { prefix: "backbone", names: { embedding: "embeddings", norm: "norm_f" } },
    );
  },
  sanitize: (tensors) => transposeConvolutions(tensors, /\.conv1d\.weight$/),
  ignoredTensors: [/^lm_head\./],
};

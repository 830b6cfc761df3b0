/** Granite with experts. Follows mlx_lm/models/granitemoe.py. */
import { times } from "../../mlx/fast.ts";
import * as mx from "../../mlx/ops.ts";
import { readDecoderConfig } from "../decoder.ts";
import type { Architecture } from "../model.ts";
import { GatedExperts, MixtureOfExperts } from "../moe.ts";
import { readRope } from "../rope-config.ts";
import { checkChoice, topSoftmaxRouter } from "../routing.ts";
import type { DerivedTensor, TensorSet } from "../tensor-set.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

const INPUT = ".input_linear.weight";

/** The publisher has gate and up of all experts in one tensor [experts, 2 n, hidden]. */
function splitInputs(tensors: TensorSet): void {
  const halves = tensors
    .names()
    .filter((name) => name.endsWith(INPUT))
    .flatMap((name): DerivedTensor[] => {
      const [experts = 0, rows = 0, columns = 0] = tensors.get(name)!.shape;
      const n = rows / 2;
      return ["gate_proj", "up_proj"].map((half, i) => ({
        name: name.replace(INPUT, `.switch_mlp.${half}.weight`),
        shape: [experts, n, columns],
        from: [name],
        compute: ([array]) => mx.slice(array!, [0, i * n, 0], [experts, (i + 1) * n, columns]),
      }));
    });
  tensors.derive(halves);
  tensors.rename((name) => name.replace(/\.output_linear\.weight$/, ".switch_mlp.down_proj.weight"));
}

export const graniteMoe: Architecture = {
  build: (given, weights) => {
    // The heads' size is always that of the hidden vector over their number.
    const c = given.with({ head_dim: null });
    const config = readDecoderConfig(c, { tied: true });
    const experts = c.int("num_local_experts", { min: 1 });
    const k = c.int("num_experts_per_tok", { min: 1 });
    checkChoice(c.where, experts, { k });
    const bias = c.boolean("attention_bias", { default: false });
    const rope = readRope(c, { dims: config.headDim });
    const scale = c.number<never>("attention_multiplier");
    const divisor = c.number<never>("logits_scaling", { min: 1e-6 });
    return buildTransformer(config, weights, {
      embeddingScale: c.number<never>("embedding_multiplier"),
      residualScale: c.number<never>("residual_multiplier"),
      finish: (logits) => times(logits, 1 / divisor),
      attention: () => ({ bias, outputBias: bias, rope, scale }),
      layerNames: { feedForward: "block_sparse_moe" },
      feedForward: (prefix) =>
        new MixtureOfExperts(
          topSoftmaxRouter(weights.linear(`${prefix}.router.layer`, config.hiddenSize, experts, false), k),
          new GatedExperts({ ...config, experts }, weights, `${prefix}.switch_mlp`),
        ),
    });
  },
  sanitize: splitInputs,
  precise: /(self_attn\.o_proj|mlp\.down_proj|^lm_head)$/,
  ignoredTensors: LEFTOVERS,
};

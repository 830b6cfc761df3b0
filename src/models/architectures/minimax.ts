/** MiniMax M2. Follows mlx_lm/models/minimax.py. */
import { StartupError } from "../../errors.ts";
import { DTYPES } from "../../mlx/dtype.ts";
import * as mx from "../../mlx/ops.ts";
import { readDecoderConfig } from "../decoder.ts";
import { NUMBERED_NAMES, stackExperts } from "../expert-tensors.ts";
import type { Architecture } from "../model.ts";
import { GatedExperts, MixtureOfExperts } from "../moe.ts";
import { readRope } from "../rope-config.ts";
import { checkChoice, sigmoidRouter } from "../routing.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const minimax: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: false });
    const { hiddenSize, headDim, normEps } = config;
    const experts = c.int("num_local_experts", { min: 1 });
    const k = c.int("num_experts_per_tok", { min: 1 });
    const choice = { k, groups: 1, topGroups: 1, normalized: true, eps: 1e-20, scale: 1 };
    checkChoice(c.where, experts, choice);
    const dims = c.int("rotary_dim", { min: 2, max: headDim });
    if (dims % 2 !== 0) throw new StartupError(`${c.where}: rotary_dim ${dims} is not an even number`);
    const rope = readRope(c, { dims, scaled: false });
    const qkNorm = { over: "projection" as const, make: (prefix: string, dim: number) => weights.norm(prefix, dim, normEps) };
    const normed = c.boolean("use_qk_norm", { default: true });
    return buildTransformer(config, weights, {
      attention: () => ({ rope, ...(normed && { qkNorm }) }),
      layerNames: { feedForward: "block_sparse_moe" },
      feedForward: (prefix) => {
        const gate = weights.linear(`${prefix}.gate`, hiddenSize, experts, false);
        const correction = weights.tensor(`${prefix}.e_score_correction_bias`, [experts]);
        const route = sigmoidRouter(gate, correction, choice);
        // The router computes in float32 throughout.
        return new MixtureOfExperts(
          (x, batch) => route(mx.astype(x, DTYPES.float32), batch),
          new GatedExperts({ ...config, experts }, weights, `${prefix}.switch_mlp`),
        );
      },
    });
  },
  sanitize: (tensors, c) => stackExperts(tensors, { count: c.int("num_local_experts"), names: NUMBERED_NAMES }),
  ignoredTensors: LEFTOVERS,
};

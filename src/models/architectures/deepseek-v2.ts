/**
 * DeepSeek V2: as V3, with another choice of experts. Follows mlx_lm/models/deepseek_v2.py, but caches the latent vectors, from which
 * that makes the keys and values of all heads before it caches them.
 */
import { StartupError } from "../../errors.ts";
import type { Architecture } from "../model.ts";
import { checkChoice, chooseFromGroups } from "../routing.ts";
import { buildDeepseek, sanitizeDeepseek } from "./deepseek-v3.ts";

/** The first two are one, with a slip of the pen that mlx-lm's default has. */
const METHODS = ["greedy", "gready", "group_limited_greedy"];

export const deepseekV2: Architecture = {
  build: (c, weights) =>
    buildDeepseek(c, weights, {
      router: ({ hiddenSize, experts }) => {
        const method = c.string("topk_method", { default: "greedy" });
        if (!METHODS.includes(method))
          throw new StartupError(`${c.where}: topk_method ${JSON.stringify(method)} is not supported`);
        const grouped = method === "group_limited_greedy";
        const choice = {
          k: c.int("num_experts_per_tok", { min: 1, default: 1 }),
          groups: grouped ? c.int("n_group", { min: 1, max: 2 ** 16 }) : 1,
          topGroups: grouped ? c.int("topk_group", { min: 1, max: 2 ** 16 }) : 1,
          scale: c.number("routed_scaling_factor", { default: 1 }),
        };
        if (experts > 0) checkChoice(c.where, experts, choice);
        return (parts, prefix) => {
          const gate = parts.linear(prefix, hiddenSize, experts, false);
          return (x, batch) => chooseFromGroups(gate.forward(x, batch), choice);
        };
      },
    }),
  sanitize: sanitizeDeepseek,
  ignoredTensors: [/\.rotary_emb\.inv_freq$/],
};

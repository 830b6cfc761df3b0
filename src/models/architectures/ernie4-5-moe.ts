/** ERNIE 4.5 with experts. Follows mlx_lm/models/ernie4_5_moe.py, which leaves the correction of the router aside. */
import { StartupError } from "../../errors.ts";
import { readDecoderConfig } from "../decoder.ts";
import { stackExperts } from "../expert-tensors.ts";
import { GatedMlp } from "../mlp.ts";
import type { Architecture } from "../model.ts";
import { GatedExperts, MixtureOfExperts } from "../moe.ts";
import { readRope } from "../rope-config.ts";
import { checkChoice, sigmoidRouter, softmaxRouter } from "../routing.ts";
import { buildTransformer } from "../transformer.ts";
import { LEFTOVERS } from "./llama.ts";

export const ernie45Moe: Architecture = {
  build: (c, weights) => {
    const config = readDecoderConfig(c, { tied: false });
    const { hiddenSize, intermediateSize } = config;
    const bias = c.boolean("use_bias", { default: false });
    const experts = c.int("moe_num_experts", { min: 1, max: 2 ** 16 });
    const k = c.int("moe_k", { min: 1, default: 1 });
    const choice = { k, groups: 1, topGroups: 1, normalized: true, scale: 1 };
    checkChoice(c.where, experts, choice);
    const expertSize = c.int("moe_intermediate_size", { default: 0 }) || intermediateSize;
    const sharedExperts = c.int("moe_num_shared_experts", { max: 2 ** 10, default: 0 });
    const score = c.string("moe_gate_act", { oneOf: ["softmax", "sigmoid"], default: "softmax" });
    // Published configs give one number for text and one for images: text comes first and has fewer dense layers.
    const first = Math.min(...c.ints("moe_layer_start_index", { default: [0] }));
    const last = Math.max(...c.ints("moe_layer_end_index", { default: [config.layers - 1] }));
    const interval = c.int("moe_layer_interval", { min: 1, default: 1 });
    if (first > last) throw new StartupError(`${c.where}: moe_layer_start_index is after moe_layer_end_index`);
    const rope = readRope(c, { dims: config.headDim, traditional: true, scaled: false });
    return buildTransformer(config, weights, {
      attention: () => ({ bias, outputBias: bias, rope }),
      feedForward: (prefix, layer) => {
        if ((layer + 1) % interval !== 0 || layer < first || layer > last) {
          return new GatedMlp({ ...config, bias }, weights, prefix);
        }
        const gate = weights.linear(`${prefix}.gate`, hiddenSize, experts, false);
        const shared = { hiddenSize, intermediateSize: expertSize * sharedExperts, bias };
        return new MixtureOfExperts(
          score === "softmax" ? softmaxRouter(gate, k, true) : sigmoidRouter(gate, null, choice),
          new GatedExperts({ hiddenSize, intermediateSize: expertSize, experts, bias }, weights, `${prefix}.switch_mlp`),
          sharedExperts > 0 ? new GatedMlp(shared, weights, `${prefix}.shared_experts`) : null,
        );
      },
    });
  },
  sanitize: (tensors, c) => {
    tensors.drop(/mtp_(block|linear_proj|hidden_norm|emb_norm)\.|e_score_correction_bias/);
    stackExperts(tensors, { count: c.int("moe_num_experts", { max: 2 ** 16 }) });
  },
  ignoredTensors: LEFTOVERS,
};

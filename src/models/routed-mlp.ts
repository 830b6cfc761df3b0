/** The feed-forward parts of DeepSeek's models and those after them: dense layers first, then experts with a shared one. */
import { StartupError } from "../errors.ts";
import { GatedMlp } from "./mlp.ts";
import type { ConfigReader } from "./model-config.ts";
import { type FeedForward, GatedExperts, MixtureOfExperts, type Router } from "./moe.ts";
import { checkChoice, type SigmoidChoice, sigmoidRouter } from "./routing.ts";
import type { Weights } from "./weights.ts";

export interface RoutedMlpSpec {
  hiddenSize: number;
  /** Of a dense layer. */
  intermediateSize: number;
  /** 0: all layers are dense. */
  experts: number;
  /** The intermediate size of an expert. */
  expertSize: number;
  /** How many experts the shared one is as large as; 0: there is none. */
  sharedExperts: number;
  /** The first so many layers are dense. */
  firstDense: number;
  /** Of the others every so manieth has experts. */
  frequency: number;
}

export function readRoutedMlp(c: ConfigReader): RoutedMlpSpec {
  const experts = c.int("n_routed_experts", { max: 2 ** 16, default: 0 });
  return {
    hiddenSize: c.int("hidden_size", { min: 1 }),
    intermediateSize: c.int("intermediate_size", { min: 1 }),
    experts,
    expertSize: experts > 0 ? c.int("moe_intermediate_size", { min: 1 }) : 0,
    sharedExperts: c.int("n_shared_experts", { max: 2 ** 10, default: 0 }),
    firstDense: c.int("first_k_dense_replace", { default: 0 }),
    frequency: c.int("moe_layer_freq", { min: 1, default: 1 }),
  };
}

/** DeepSeek-V3's choice; `eps`: added to the sum of the weights that they are divided by. */
export function readSigmoidChoice(c: ConfigReader, { experts }: RoutedMlpSpec, eps = 0): SigmoidChoice {
  const method = c.string("topk_method", { default: "noaux_tc" });
  if (method !== "noaux_tc") throw new StartupError(`${c.where}: topk_method ${JSON.stringify(method)} is not supported`);
  const choice = {
    k: c.int("num_experts_per_tok", { min: 1, default: 1 }),
    groups: c.int("n_group", { min: 1, max: 2 ** 16, default: 1 }),
    topGroups: c.int("topk_group", { min: 1, max: 2 ** 16, default: 1 }),
    normalized: c.boolean("norm_topk_prob", { default: true }),
    scale: c.number("routed_scaling_factor", { default: 1 }),
    eps,
  };
  if (experts > 0) checkChoice(c.where, experts, choice);
  return choice;
}

/** A router with a correction beside its weight, at `prefix`. */
export function correctedRouter(spec: RoutedMlpSpec, choice: SigmoidChoice, weights: Weights, prefix: string): Router {
  const gate = weights.linear(prefix, spec.hiddenSize, spec.experts, false);
  return sigmoidRouter(gate, weights.tensor(`${prefix}.e_score_correction_bias`, [spec.experts]), choice);
}

/** The feed-forward part of a layer; `router` makes that of the gate at a prefix. */
export function routedMlp(
  spec: RoutedMlpSpec,
  weights: Weights,
  prefix: string,
  layer: number,
  router: (prefix: string) => Router,
): FeedForward {
  const { hiddenSize, experts, expertSize, sharedExperts, firstDense, frequency } = spec;
  if (experts === 0 || layer < firstDense || layer % frequency !== 0) return new GatedMlp(spec, weights, prefix);
  const expert = { hiddenSize, intermediateSize: expertSize, experts };
  const shared = { hiddenSize, intermediateSize: expertSize * sharedExperts };
  return new MixtureOfExperts(
    router(`${prefix}.gate`),
    new GatedExperts(expert, weights, `${prefix}.switch_mlp`),
    sharedExperts > 0 ? new GatedMlp(shared, weights, `${prefix}.shared_experts`) : null,
  );
}

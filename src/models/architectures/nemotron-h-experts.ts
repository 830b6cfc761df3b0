/** Nemotron-H's experts: MLPs without a gate, which may work on fewer dimensions than the model has. */
import type { MxArray } from "../../mlx/ffi.ts";
import * as mx from "../../mlx/ops.ts";
import { arrangeRows } from "../../nn/expert-rows.ts";
import type { ExpertLinear } from "../../nn/experts.ts";
import type { AdapterChoice, Linear } from "../../nn/linear.ts";
import { PlainMlp, type PlainMlpSpec } from "../mlp.ts";
import type { ConfigReader } from "../model-config.ts";
import type { FeedForward, Router } from "../moe.ts";
import { correctedRouter, type RoutedMlpSpec, readRoutedMlp, readSigmoidChoice } from "../routed-mlp.ts";
import type { SigmoidChoice } from "../routing.ts";
import type { Weights } from "../weights.ts";

export interface ExpertsSpec {
  routed: RoutedMlpSpec;
  choice: SigmoidChoice;
  /** Dimensions that the experts work on; null: the model's own. */
  latentSize: number | null;
  /** Of the shared expert; 0: there is none. */
  sharedSize: number;
}

export function readExperts(c: ConfigReader): ExpertsSpec {
  const routed = readRoutedMlp(c);
  return {
    routed,
    choice: readSigmoidChoice(c, routed, 1e-20),
    latentSize: c.int("moe_latent_size", { min: 1, max: 2 ** 20, default: null }),
    sharedSize: routed.sharedExperts > 0 ? c.int("moe_shared_expert_intermediate_size", { min: 1, max: 2 ** 24 }) : 0,
  };
}

export class PlainMixture implements FeedForward {
  readonly fc1: ExpertLinear;
  readonly fc2: ExpertLinear;
  readonly shared_experts: PlainMlp | null;
  readonly fc1_latent_proj: Linear | null;
  readonly fc2_latent_proj: Linear | null;
  readonly #route: Router;
  readonly #count: number;
  readonly #activation: (x: MxArray) => MxArray;

  /** `mlp`: a dense block's, whose biases and activation the experts have too. */
  constructor(spec: ExpertsSpec, mlp: PlainMlpSpec, weights: Weights, prefix: string) {
    const { hiddenSize, bias, activation } = mlp;
    const { experts: count, expertSize } = spec.routed;
    const dim = spec.latentSize ?? hiddenSize;
    this.#route = correctedRouter(spec.routed, spec.choice, weights, `${prefix}.gate`);
    this.fc1 = weights.experts(`${prefix}.switch_mlp.fc1`, { count, inDim: dim, outDim: expertSize, bias: false });
    this.fc2 = weights.experts(`${prefix}.switch_mlp.fc2`, { count, inDim: expertSize, outDim: dim, bias: false });
    const shared = { ...mlp, intermediateSize: spec.sharedSize };
    this.shared_experts = spec.sharedSize > 0 ? new PlainMlp(shared, weights, `${prefix}.shared_experts`) : null;
    const latent = (name: string, inDim: number, outDim: number) =>
      spec.latentSize === null ? null : weights.linear(`${prefix}.${name}`, inDim, outDim, bias);
    this.fc1_latent_proj = latent("fc1_latent_proj", hiddenSize, dim);
    this.fc2_latent_proj = latent("fc2_latent_proj", dim, hiddenSize);
    this.#count = count;
    this.#activation = activation;
  }

  forward(x: MxArray, batch: AdapterChoice): MxArray {
    const { experts, weights } = this.#route(x, batch);
    const rows = arrangeRows(experts, this.#count);
    const spread = rows.spread(this.fc1_latent_proj?.forward(x, batch) ?? x);
    const inner = this.#activation(this.fc1.forward(spread, rows.index));
    const sum = rows.combine(this.fc2.forward(inner, rows.index), weights);
    const y = this.fc2_latent_proj?.forward(sum, batch) ?? sum;
    return this.shared_experts ? mx.add(y, this.shared_experts.forward(x, batch)) : y;
  }
}

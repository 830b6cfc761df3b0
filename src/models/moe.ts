/** Mixtures of experts: a router chooses for each token some of many small MLPs, whose weighted sum is the result. */
import { swiglu } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { arrangeRows } from "../nn/expert-rows.ts";
import type { ExpertLinear } from "../nn/experts.ts";
import type { AdapterChoice, Linear } from "../nn/linear.ts";
import { GatedMlp, type MlpSpec } from "./mlp.ts";
import type { Weights } from "./weights.ts";

/** x [T, hidden] to [T, hidden]. */
export interface FeedForward {
  forward(x: MxArray, batch: AdapterChoice): MxArray;
}

/** Which experts each token goes to, uint32 [T, k], and how much each counts, [T, k]. */
export interface Routing {
  experts: MxArray;
  weights: MxArray;
}

/** Chooses for the tokens x [T, hidden]; the usual ways are in routing.ts. */
export type Router = (x: MxArray, batch: AdapterChoice) => Routing;

export interface ExpertsSpec extends MlpSpec {
  /** How many there are; `intermediateSize` is that of one. */
  experts: number;
}

/** Experts as `GatedMlp`: down(activation(gate(x), up(x))), each of the three stacked in one tensor. */
export class GatedExperts {
  readonly gate_proj: ExpertLinear;
  readonly up_proj: ExpertLinear;
  readonly down_proj: ExpertLinear;
  readonly #count: number;
  readonly #activation: (gate: MxArray, up: MxArray) => MxArray;

  constructor(spec: ExpertsSpec, weights: Weights, prefix: string) {
    const { hiddenSize, intermediateSize, experts: count, bias = false, activation = swiglu } = spec;
    const inward = { count, inDim: hiddenSize, outDim: intermediateSize, bias };
    this.gate_proj = weights.experts(`${prefix}.gate_proj`, inward);
    this.up_proj = weights.experts(`${prefix}.up_proj`, inward);
    this.down_proj = weights.experts(`${prefix}.down_proj`, { count, inDim: intermediateSize, outDim: hiddenSize, bias });
    this.#count = count;
    this.#activation = activation;
  }

  forward(x: MxArray, { experts, weights }: Routing): MxArray {
    const rows = arrangeRows(experts, this.#count);
    const spread = rows.spread(x);
    const gate = this.gate_proj.forward(spread, rows.index);
    const up = this.up_proj.forward(spread, rows.index);
    return rows.combine(this.down_proj.forward(this.#activation(gate, up), rows.index), weights);
  }
}

/** The chosen experts' sum, plus what the shared expert, if there is one, makes of every token. */
export class MixtureOfExperts implements FeedForward {
  readonly #route: Router;
  readonly #experts: GatedExperts;
  readonly #shared: FeedForward | null;

  constructor(route: Router, experts: GatedExperts, shared: FeedForward | null = null) {
    this.#route = route;
    this.#experts = experts;
    this.#shared = shared;
  }

  forward(x: MxArray, batch: AdapterChoice): MxArray {
    const y = this.#experts.forward(x, this.#route(x, batch));
    return this.#shared ? mx.add(y, this.#shared.forward(x, batch)) : y;
  }
}

/** sigmoid(gate(x)) mlp(x): a shared expert that each token takes as much of as a gate says (qwen2_moe, qwen3_next). */
export class GatedSharedExpert implements FeedForward {
  readonly shared_expert: GatedMlp;
  readonly shared_expert_gate: Linear;

  /** Of `prefix.shared_expert` and `prefix.shared_expert_gate`. */
  constructor(spec: MlpSpec, weights: Weights, prefix: string) {
    this.shared_expert = new GatedMlp(spec, weights, `${prefix}.shared_expert`);
    this.shared_expert_gate = weights.linear(`${prefix}.shared_expert_gate`, spec.hiddenSize, 1, false);
  }

  forward(x: MxArray, batch: AdapterChoice): MxArray {
    return mx.multiply(mx.sigmoid(this.shared_expert_gate.forward(x, batch)), this.shared_expert.forward(x, batch));
  }
}

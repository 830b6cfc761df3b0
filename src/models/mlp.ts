import { swiglu } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import type { AdapterChoice, Linear } from "../nn/linear.ts";
import type { Weights } from "./weights.ts";

export interface MlpSpec {
  hiddenSize: number;
  intermediateSize: number;
  bias?: boolean;
  /** Of gate and up; silu(gate) * up by default. */
  activation?: (gate: MxArray, up: MxArray) => MxArray;
}

/** down(activation(gate(x), up(x))) */
export class GatedMlp {
  readonly gate_proj: Linear;
  readonly up_proj: Linear;
  readonly down_proj: Linear;
  readonly #activation: (gate: MxArray, up: MxArray) => MxArray;

  constructor({ hiddenSize, intermediateSize, bias = false, activation = swiglu }: MlpSpec, weights: Weights, prefix: string) {
    this.gate_proj = weights.linear(`${prefix}.gate_proj`, hiddenSize, intermediateSize, bias);
    this.up_proj = weights.linear(`${prefix}.up_proj`, hiddenSize, intermediateSize, bias);
    this.down_proj = weights.linear(`${prefix}.down_proj`, intermediateSize, hiddenSize, bias);
    this.#activation = activation;
  }

  forward(x: MxArray, batch: AdapterChoice): MxArray {
    return this.down_proj.forward(this.#activation(this.gate_proj.forward(x, batch), this.up_proj.forward(x, batch)), batch);
  }
}

import { swiglu } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import { cutColumns } from "../nn/columns.ts";
import type { AdapterChoice, Linear } from "../nn/linear.ts";
import { forwardGated, type GatedActivation } from "../nn/together.ts";
import type { Weights } from "./weights.ts";

export interface MlpSpec {
  hiddenSize: number;
  intermediateSize: number;
  bias?: boolean;
  /** Of gate and up; silu(gate) * up by default. */
  activation?: GatedActivation;
  /** `gate_proj`, `up_proj` and `down_proj` by default. */
  names?: readonly [gate: string, up: string, down: string];
}

/** down(activation(gate(x), up(x))) */
export class GatedMlp {
  readonly gate_proj: Linear;
  readonly up_proj: Linear;
  readonly down_proj: Linear;
  readonly #activation: GatedActivation;

  constructor(spec: MlpSpec, weights: Weights, prefix: string) {
    const { hiddenSize, intermediateSize, bias = false, activation = swiglu } = spec;
    const [gate, up, down] = spec.names ?? ["gate_proj", "up_proj", "down_proj"];
    this.gate_proj = weights.linear(`${prefix}.${gate}`, hiddenSize, intermediateSize, bias);
    this.up_proj = weights.linear(`${prefix}.${up}`, hiddenSize, intermediateSize, bias);
    this.down_proj = weights.linear(`${prefix}.${down}`, intermediateSize, hiddenSize, bias);
    this.#activation = activation;
  }

  forward(x: MxArray, batch: AdapterChoice): MxArray {
    return this.down_proj.forward(forwardGated(this.gate_proj, this.up_proj, this.#activation, x, batch), batch);
  }
}

export interface FusedMlpSpec extends Omit<MlpSpec, "names"> {
  /** `gate_up_proj` and `down_proj` by default. */
  names?: readonly [gateUp: string, down: string];
}

/** The same with gate and up in one matrix, the gate's rows first. */
export class FusedGatedMlp {
  readonly gate_up_proj: Linear;
  readonly down_proj: Linear;
  readonly #widths: readonly number[];
  readonly #activation: GatedActivation;

  constructor(spec: FusedMlpSpec, weights: Weights, prefix: string) {
    const { hiddenSize, intermediateSize, bias = false, activation = swiglu } = spec;
    const [gateUp, down] = spec.names ?? ["gate_up_proj", "down_proj"];
    this.gate_up_proj = weights.linear(`${prefix}.${gateUp}`, hiddenSize, 2 * intermediateSize, bias);
    this.down_proj = weights.linear(`${prefix}.${down}`, intermediateSize, hiddenSize, bias);
    this.#widths = [intermediateSize, intermediateSize];
    this.#activation = activation;
  }

  forward(x: MxArray, batch: AdapterChoice): MxArray {
    const [gate, up] = cutColumns(this.gate_up_proj.forward(x, batch), this.#widths) as [MxArray, MxArray];
    return this.down_proj.forward(this.#activation(gate, up), batch);
  }
}

export interface PlainMlpSpec {
  hiddenSize: number;
  intermediateSize: number;
  bias: boolean;
  activation: (x: MxArray) => MxArray;
  names: readonly [up: string, down: string];
}

/** down(activation(up(x))) */
export class PlainMlp {
  readonly up: Linear;
  readonly down: Linear;
  readonly #activation: (x: MxArray) => MxArray;

  constructor({ hiddenSize, intermediateSize, bias, activation, names }: PlainMlpSpec, weights: Weights, prefix: string) {
    this.up = weights.linear(`${prefix}.${names[0]}`, hiddenSize, intermediateSize, bias);
    this.down = weights.linear(`${prefix}.${names[1]}`, intermediateSize, hiddenSize, bias);
    this.#activation = activation;
  }

  forward(x: MxArray, batch: AdapterChoice): MxArray {
    return this.down.forward(this.#activation(this.up.forward(x, batch)), batch);
  }
}

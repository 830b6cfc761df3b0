/** Norms of a layer's output together with a gate, silu(gate). */
import { dimension } from "../mlx/array.ts";
import { rmsNorm, swiglu } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Parameter } from "./parameter.ts";

export interface GatedNormSpec {
  eps: number;
  /** The vector is normalised in so many equal parts, each by itself; 1 by default. */
  groups?: number;
  /** The gate comes after the norm instead of before it. */
  gateLast?: boolean;
}

/** An RMS norm of silu(gate) x; or silu(gate) times an RMS norm of x. */
export class GatedRmsNorm {
  readonly #weight: Parameter;
  readonly #spec: GatedNormSpec;

  constructor(weight: Parameter, spec: GatedNormSpec) {
    this.#weight = weight;
    this.#spec = spec;
  }

  /** x and gate [..., dim], alike. */
  forward(x: MxArray, gate: MxArray): MxArray {
    return this.#spec.gateLast ? swiglu(gate, this.#normalise(x)) : this.#normalise(swiglu(gate, x));
  }

  #normalise(x: MxArray): MxArray {
    const { eps, groups = 1 } = this.#spec;
    if (groups === 1) return rmsNorm(x, this.#weight.array, eps);
    const [rows, dim] = [dimension(x, 0), dimension(x, 1)];
    const parts = rmsNorm(mx.reshape(x, [rows, groups, dim / groups]), null, eps);
    return mx.multiply(mx.reshape(parts, [rows, dim]), this.#weight.array);
  }
}

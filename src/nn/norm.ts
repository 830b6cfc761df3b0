import { rmsNorm } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import type { Parameter } from "./parameter.ts";

/** x / rms(x) * weight over the last axis. */
export class RmsNorm {
  readonly #weight: Parameter;
  readonly #eps: number;

  constructor(weight: Parameter, eps: number) {
    this.#weight = weight;
    this.#eps = eps;
  }

  forward(x: MxArray): MxArray {
    return rmsNorm(x, this.#weight.array, this.#eps);
  }
}

import { layerNorm, rmsNorm } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
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

/** (x - mean) / deviation over the last axis, times the weight and plus the bias where there are such. */
export class LayerNorm {
  readonly #weight: Parameter | null;
  readonly #bias: Parameter | null;
  readonly #eps: number;

  constructor(weight: Parameter | null, bias: Parameter | null, eps: number) {
    this.#weight = weight;
    this.#bias = bias;
    this.#eps = eps;
  }

  forward(x: MxArray): MxArray {
    return layerNorm(x, this.#weight?.array ?? null, this.#bias?.array ?? null, this.#eps);
  }
}

/** A layer norm of each head of x [T, heads, headDim] by itself, with a weight [heads, headDim]. */
export class HeadwiseLayerNorm {
  readonly #weight: Parameter;
  readonly #eps: number;

  constructor(weight: Parameter, eps: number) {
    this.#weight = weight;
    this.#eps = eps;
  }

  forward(x: MxArray): MxArray {
    return mx.multiply(layerNorm(x, null, null, this.#eps), this.#weight.array);
  }
}

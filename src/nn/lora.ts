/** Low-rank updates of a linear layer, another one for each token if need be. */
import { dtypeOf } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { AdapterChoice, Linear } from "./linear.ts";
import type { Parameter } from "./parameter.ts";

/** y + (x A[i]) B[i] with each token's own adapter i; A[0] and B[0] are zero, for tokens without one. */
export class LoraLinear implements Linear {
  readonly base: Linear;
  /** [adapters + 1, in, rank] */
  readonly #a: Parameter;
  /** [adapters + 1, rank, out], the scale included. */
  readonly #b: Parameter;

  constructor(base: Linear, a: Parameter, b: Parameter) {
    this.base = base;
    this.#a = a;
    this.#b = b;
  }

  forward(x: MxArray, batch: AdapterChoice): MxArray {
    const y = this.base.forward(x, batch);
    const { adapters } = batch;
    if (adapters === null) return y;
    const low = mx.gatherMm(mx.expandDims(x, 1), this.#a.array, adapters);
    const update = mx.squeeze(mx.gatherMm(low, this.#b.array, adapters), 1);
    // Adapters stay in float32, which is also what mlx-lm computes them in.
    return mx.add(y, mx.astype(update, dtypeOf(y)));
  }
}

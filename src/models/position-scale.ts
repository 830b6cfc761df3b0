import type { Batch } from "../kv/cache.ts";
import { dtypeOf, scalar } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import { times } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";

/**
 * Multiplies queries by 1 + beta ln(1 + floor((position + first) / length)), so that attention stays sharp over long texts (Llama 4's
 * temperature tuning). `first`: the number of the first position.
 */
export class PositionScale {
  readonly #beta: number;
  readonly #length: number;
  readonly #first: number;
  /** What all layers of a step share: known by its positions, freed with the step. */
  #step: { positions: MxArray; factors: MxArray } | null = null;

  constructor({ beta, length, first = 0 }: { beta: number; length: number; first?: number }) {
    this.#beta = beta;
    this.#length = length;
    this.#first = first;
  }

  /** q [T, heads, headDim] */
  forward(q: MxArray, { positions }: Batch): MxArray {
    if (this.#step?.positions !== positions) {
      const counted = mx.add(mx.astype(positions, DTYPES.float32), scalar(this.#first));
      const spans = mx.floor(mx.divide(counted, scalar(this.#length)));
      const factors = mx.add(times(mx.log(mx.add(spans, scalar(1))), this.#beta), scalar(1));
      this.#step = { positions, factors: mx.astype(mx.reshape(factors, [-1, 1, 1]), dtypeOf(q)) };
    }
    return mx.multiply(q, this.#step.factors);
  }
}

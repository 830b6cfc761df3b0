/** Sends each token's row to its experts and brings the results together again. */
import { dimension, dtypeOf, ints } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import { currentDevice, type MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";

/** Rows that stand in an order of their own, each for one expert. R = tokens times experts of each. */
export interface ExpertRows {
  /** x [T, in] to [R, in] */
  spread(x: MxArray): MxArray;
  /** y [R, out], weights [T, k] to [T, out]: the weighted sum over each token's experts. */
  combine(y: MxArray, weights: MxArray): MxArray;
  /** What tells the layers the expert of each row. */
  readonly index: RowIndex;
}

/**
 * `plan`: int32, of our CPU primitives; `experts`: int32 [R], for MLX's own operations, which are faster when it is sorted; "even": the
 * same number of rows for each expert, one expert's after the other's.
 */
export type RowIndex = { readonly plan: MxArray } | { readonly experts: MxArray; readonly sorted: boolean } | "even";

/** `chosen`: uint32 [T, k], which of `count` experts each token goes to. */
export function arrangeRows(chosen: MxArray, count: number): ExpertRows {
  return currentDevice() === "cpu" ? new PlannedRows(chosen, count) : new SortedRows(chosen);
}

/** For our CPU primitives. */
export class PlannedRows implements ExpertRows {
  readonly index: { readonly plan: MxArray };
  readonly #count: number;

  constructor(chosen: MxArray, count: number) {
    this.index = { plan: mx.cpuExpertPlan(chosen, count) };
    this.#count = count;
  }

  spread(x: MxArray): MxArray {
    return mx.cpuExpertSpread(x, this.index.plan, this.#count);
  }

  combine(y: MxArray, weights: MxArray): MxArray {
    return mx.cpuExpertCombine(y, this.index.plan, weights, this.#count);
  }
}

/** As mlx-lm's switch_layers: so many rows are sorted by expert that each expert's weights are read once. */
const WORTH_SORTING = 64;

/** For MLX's own operations. */
export class SortedRows implements ExpertRows {
  readonly index: { readonly experts: MxArray; readonly sorted: boolean };
  readonly #perToken: number;
  /** int32 [R], the token's choice that each row is, counted through all tokens; null: in their own order. */
  readonly #order: MxArray | null;

  constructor(chosen: MxArray) {
    const [tokens, perToken] = [dimension(chosen, 0), dimension(chosen, 1)];
    const experts = mx.reshape(mx.astype(chosen, DTYPES.int32), [-1]);
    const sorted = tokens * perToken >= WORTH_SORTING;
    this.#perToken = perToken;
    this.#order = sorted ? mx.argsort(experts, 0) : null;
    this.index = { experts: this.#order ? mx.take(experts, this.#order, 0) : experts, sorted };
  }

  spread(x: MxArray): MxArray {
    const count = dimension(this.index.experts, 0);
    const places = this.#order ? mx.astype(this.#order, DTYPES.int32) : mx.arange(0, count);
    return mx.take(x, mx.astype(mx.floorDivide(places, ints([this.#perToken])), DTYPES.int32), 0);
  }

  combine(y: MxArray, weights: MxArray): MxArray {
    const restored = this.#order ? mx.take(y, mx.argsort(this.#order, 0), 0) : y;
    const parts = mx.reshape(restored, [-1, this.#perToken, dimension(y, 1)]);
    return mx.astype(mx.sum(mx.multiply(parts, mx.expandDims(weights, 2)), 1, false), dtypeOf(y));
  }
}

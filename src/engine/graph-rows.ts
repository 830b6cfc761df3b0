/** Working on some rows of a batch: those that ask for it. */
import { floats, ints } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";

export function indicesOf<R>(rows: readonly R[], wanted: (row: R) => boolean): number[] {
  return rows.flatMap((row, i) => (wanted(row) ? [i] : []));
}

/** x [count, m] to [indices, m]. */
export function takeRows(x: MxArray, count: number, indices: readonly number[]): MxArray {
  return indices.length === count ? x : mx.take(x, ints(indices), 0);
}

/** x [count, m] with what `edit` makes of some of its rows. */
export function replaceRows(x: MxArray, count: number, indices: readonly number[], edit: (part: MxArray) => MxArray): MxArray {
  if (indices.length === 0) return x;
  const edited = edit(takeRows(x, count, indices));
  return indices.length === count ? edited : mx.scatterRows(x, ints(indices), edited);
}

/** A number of each row, float32 [rows, 1]. */
export function column<R>(rows: readonly R[], value: (row: R) => number): MxArray {
  return floats(Float32Array.from(rows, value), [rows.length, 1]);
}

export function logSoftmax(x: MxArray): MxArray {
  return mx.subtract(x, mx.logsumexp(x, -1, true));
}

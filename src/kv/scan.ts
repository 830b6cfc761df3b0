/** What the scans as a graph share. */
import { shapeOf } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { InPlaceTensor } from "./in-place-tensor.ts";

/** The tensor of a state in a size class, float32 [rows, ...shape]. */
export type StateOf = (sizeClass: number, cache: number) => InPlaceTensor;

/** Rows of equally many tokens, which lie one row after the other from `from` on in the flat batch. */
export interface Part {
  from: number;
  rows: number;
  tokens: number;
}

/** Takes a part from its states [rows, ...] to the next ones; y [rows * tokens, ...]. */
export type Scan = (part: Part, states: MxArray) => { y: MxArray; states: MxArray };

/** x [T, ...] of a part as [rows, tokens, ...]. */
export function takePart(x: MxArray, { from, rows, tokens }: Part): MxArray {
  const [all = 0, ...rest] = shapeOf(x);
  const own = rows * tokens === all ? x : mx.slice(x, [from, ...rest.map(() => 0)], [from + rows * tokens, ...rest]);
  return mx.reshape(own, [rows, tokens, ...rest]);
}

/** log(1 + e^x) */
export const softplus = (x: MxArray): MxArray => mx.logaddexp(x, mx.zeros([1], DTYPES.float32));

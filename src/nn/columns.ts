import { shapeOf } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";

/** Cuts x [..., sum of widths] into pieces of so many columns. */
export function cutColumns(x: MxArray, widths: readonly number[]): MxArray[] {
  const rows = shapeOf(x).slice(0, -1);
  const zeros = rows.map(() => 0);
  let end = 0;
  return widths.map((width) => {
    end += width;
    return mx.slice(x, [...zeros, end - width], [...rows, end]);
  });
}

import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";

/** x * sigmoid(x) */
export function silu(x: MxArray): MxArray {
  return mx.multiply(x, mx.sigmoid(x));
}

/** silu(gate) * up */
export function swiglu(gate: MxArray, up: MxArray): MxArray {
  return mx.multiply(silu(gate), up);
}

/** Random numbers for comparisons, the same in every run. */
import { floats } from "../../src/mlx/array.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";

let state = 1;
/** In [-1, 1). */
export function random(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 31 - 1;
}

/** float32 in [-2, 2). */
export function randoms(shape: readonly number[]): MxArray {
  return floats(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random() * 2),
    shape,
  );
}

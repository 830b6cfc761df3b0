import { expect } from "bun:test";
import { evaluate, readFloats } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import * as mx from "../../src/mlx/ops.ts";

export function numbers(array: MxArray): Float32Array {
  const plain = mx.contiguous(mx.astype(array, DTYPES.float32));
  evaluate(plain);
  return readFloats(plain);
}

/** Largest difference, relative to the largest value, or to `floor` where all are below it; infinite where something is no number. */
export function difference(got: MxArray, want: MxArray, floor = 1e-30): number {
  const [a, b] = [numbers(got), numbers(want)];
  expect(a.length).toBe(b.length);
  const scale = b.reduce((max, value) => Math.max(max, Math.abs(value)), floor);
  return a.reduce((max, value, i) => (Number.isFinite(value) ? Math.max(max, Math.abs(value - b[i]!)) : Infinity), 0) / scale;
}

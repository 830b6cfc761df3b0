/** From hidden states to a text's vector. */

import { floats, ints } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Pooling } from "../models/embedding-modules.ts";
import type { DenseLayer } from "../models/load-encoder.ts";

/**
 * One row for each text: hidden [T, dim] holds texts of `lengths` one after the other, the result is float32
 * [texts, poolings * dim].
 */
export function poolTexts(hidden: MxArray, lengths: readonly number[], poolings: readonly Pooling[]): MxArray {
  const starts: number[] = [];
  let total = 0;
  for (const length of lengths) {
    starts.push(total);
    total += length;
  }
  const h = mx.astype(hidden, DTYPES.float32);
  const parts = poolings.map((pooling) => {
    if (pooling === "cls") return mx.take(h, ints(starts), 0);
    if (pooling === "last") return mx.take(h, ints(starts.map((start, text) => start + lengths[text]! - 1)), 0);
    if (pooling === "max") return poolMaxima(h, starts, lengths);
    return mx.matmul(weightsOf(pooling, starts, lengths, total), h);
  });
  return parts.length === 1 ? parts[0]! : mx.concatenate(parts, 1);
}

/** [texts, T]: what each token counts for each text. */
function weightsOf(pooling: Pooling, starts: readonly number[], lengths: readonly number[], total: number): MxArray {
  const weights = new Float32Array(lengths.length * total);
  for (const [text, length] of lengths.entries()) {
    const divisor =
      pooling === "mean" ? length : pooling === "mean-sqrt-length" ? Math.sqrt(length) : (length * (length + 1)) / 2;
    for (let i = 0; i < length; i++) {
      weights[text * total + starts[text]! + i] = (pooling === "weighted-mean" ? i + 1 : 1) / divisor;
    }
  }
  return floats(weights, [lengths.length, total]);
}

function poolMaxima(h: MxArray, starts: readonly number[], lengths: readonly number[]): MxArray {
  const rows = lengths.map((length, text) => {
    const indices = ints(Array.from({ length }, (_, i) => starts[text]! + i));
    return mx.max(mx.take(h, indices, 0), 0, true);
  });
  return rows.length === 1 ? rows[0]! : mx.concatenate(rows, 0);
}

/** x [n, dim] through the layers after the pooling. */
export function applyDense(vectors: MxArray, layers: readonly DenseLayer[]): MxArray {
  return layers.reduce((x, { linear, activation }) => {
    const y = linear.forward(x, { adapters: null });
    return activation === "tanh" ? mx.tanh(y) : y;
  }, vectors);
}

/** Brought to length 1 where the model's vectors are. */
export function finishVectors(vectors: readonly Float32Array[], normalize: boolean): Float32Array[] {
  return vectors.map((vector) => (normalize ? normalizeVector(vector) : vector));
}

/** Brought to length 1, as a copy; a vector of zeros stays. */
export function normalizeVector(vector: Float32Array): Float32Array {
  let sum = 0;
  for (const value of vector) sum += value * value;
  const factor = sum > 0 ? 1 / Math.sqrt(sum) : 0;
  return vector.map((value) => value * factor);
}

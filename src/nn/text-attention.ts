/** Attention within each text of a flat batch, without a cache. */
import { currentDevice, type MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";

export interface TextAttentionOptions {
  heads: number;
  kvHeads: number;
  headDim: number;
  scale: number;
  /** A token sees itself and what is before it, instead of its whole text. */
  causal: boolean;
}

/**
 * q [T, heads * headDim], k and v [T, kvHeads * headDim] hold texts of `lengths` one after the other. Returns [T, heads * headDim].
 * On a GPU neighbours of the same length are computed together: sort texts by length.
 */
export function attendTexts(
  q: MxArray,
  k: MxArray,
  v: MxArray,
  lengths: readonly number[],
  { heads, kvHeads, headDim, scale, causal }: TextAttentionOptions,
): MxArray {
  if (currentDevice() === "cpu") {
    const split = (x: MxArray, count: number) => mx.reshape(x, [-1, count, headDim]);
    return mx.cpuAttendTexts(split(q, heads), split(k, kvHeads), split(v, kvHeads), lengths, causal, scale);
  }
  return attendGroups(q, k, v, lengths, { heads, kvHeads, headDim, scale, causal });
}

/** The same as a graph of MLX's own operations. */
export function attendGroups(
  q: MxArray,
  k: MxArray,
  v: MxArray,
  lengths: readonly number[],
  { heads, kvHeads, headDim, scale, causal }: TextAttentionOptions,
): MxArray {
  const outputs: MxArray[] = [];
  let from = 0;
  for (let first = 0; first < lengths.length; ) {
    const length = lengths[first]!;
    let count = 1;
    while (lengths[first + count] === length) count++;
    const to = from + count * length;
    const split = (x: MxArray, n: number) => {
      const rows = mx.slice(x, [from, 0], [to, n * headDim]);
      return mx.transpose(mx.reshape(rows, [count, length, n, headDim]), [0, 2, 1, 3]);
    };
    const out = mx.attention(split(q, heads), split(k, kvHeads), split(v, kvHeads), scale, causal, null, null);
    outputs.push(mx.reshape(mx.transpose(out, [0, 2, 1, 3]), [count * length, heads * headDim]));
    first += count;
    from = to;
  }
  return outputs.length === 1 ? outputs[0]! : mx.concatenate(outputs, 0);
}

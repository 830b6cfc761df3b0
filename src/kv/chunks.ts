/** Long scans in chunks: matrix products inside a chunk, the state from one to the next. */
import { ints, shapeOf } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";

/** Tokens of a chunk. */
export const CHUNK = 64;

/** x [1, T, heads, ...] as [groups, heads / groups, chunks, CHUNK, ...], the last chunk filled up with zeros. */
export function intoChunks(x: MxArray, groups: number): MxArray {
  const [, tokens = 0, heads = 0, ...rest] = shapeOf(x);
  const chunks = Math.ceil(tokens / CHUNK);
  const missing = chunks * CHUNK - tokens;
  const full = missing === 0 ? x : mx.concatenate([x, mx.zeros([1, missing, heads, ...rest], DTYPES.float32)], 1);
  const split = mx.reshape(full, [chunks, CHUNK, groups, heads / groups, ...rest]);
  return mx.transpose(split, [2, 3, 0, 1, ...rest.map((_, i) => 4 + i)]);
}

/** [groups, heads of a group, chunks, CHUNK, dim] as [tokens, heads, dim]. */
export function outOfChunks(x: MxArray, tokens: number): MxArray {
  const [groups = 0, heads = 0, chunks = 0, , dim = 0] = shapeOf(x);
  const flat = mx.reshape(mx.transpose(x, [2, 3, 0, 1, 4]), [chunks * CHUNK, groups * heads, dim]);
  return mx.slice(flat, [0, 0, 0], [tokens, groups * heads, dim]);
}

/** Chunk `index` of [groups, heads, chunks, ...], without the axis of the chunks. */
export function chunkOf(x: MxArray, index: number): MxArray {
  const [groups = 0, heads = 0, , ...rest] = shapeOf(x);
  const part = mx.slice(x, [0, 0, index, ...rest.map(() => 0)], [groups, heads, index + 1, ...rest]);
  return mx.reshape(part, [groups, heads, ...rest]);
}

/** The reverse: the chunks as the third axis. */
export function joinChunks(parts: readonly MxArray[]): MxArray {
  const lifted = parts.map((part) => mx.expandDims(part, 2));
  return lifted.length === 1 ? lifted[0]! : mx.concatenate(lifted, 2);
}

export const swapLast = (x: MxArray): MxArray => {
  const axes = shapeOf(x).map((_, axis) => axis);
  const last = axes.length - 1;
  return mx.transpose(x, [...axes.slice(0, -2), last, last - 1]);
};

/** What is left of token j's share when token i is through: exp of the logarithmic decays between them. */
export interface Decays {
  /** [..., CHUNK, CHUNK], row i, column j; 0 for j > i. */
  between: MxArray;
  /** Of what was there before the chunk, when token i is through: [..., CHUNK, 1]. */
  since: MxArray;
  /** Of token j's share at the end of the chunk: [..., CHUNK, 1]. */
  until: MxArray;
  /** Of what was there before the chunk, at its end: [..., 1, 1]. */
  whole: MxArray;
}

/**
 * From the logarithms of the decays, [..., CHUNK]. Each sum is made by itself: the difference of two running sums would have lost
 * its digits after a strong decay.
 */
export function decaysOf(logarithms: MxArray): Decays {
  const rank = shapeOf(logarithms).length;
  const column = mx.expandDims(logarithms, rank);
  const sums = mx.cumsum(mx.multiply(column, triangle(1)), rank - 1);
  const between = mx.multiply(mx.exp(sums), triangle(0));
  const since = mx.exp(mx.cumsum(column, rank - 1));
  const last = (x: MxArray) => {
    const shape = shapeOf(x);
    return mx.slice(x, [...shape.slice(0, -2).map(() => 0), CHUNK - 1, 0], shape);
  };
  return { between, since, until: swapLast(last(between)), whole: last(since) };
}

/** float32 [CHUNK, CHUNK]: 1 where the row is at least `below` below the diagonal. */
export function triangle(below: number): MxArray {
  const rows = ints(
    Array.from({ length: CHUNK }, (_, i) => i - below),
    [CHUNK, 1],
  );
  return mx.astype(mx.lessEqual(mx.arange(0, CHUNK), rows), DTYPES.float32);
}

/**
 * (1 + a)^-1 for strictly lower triangular a [..., CHUNK, CHUNK], from the inverses of diagonal blocks of 1, 2, 4, ... rows: those of
 * the next size are x - x b x, b being what lies between two. A power series of a would cancel where keys repeat.
 */
export function invertUnitLower(a: MxArray): MxArray {
  let x: MxArray | null = null;
  for (let size = 1; size < CHUNK; size *= 2) {
    const between = mx.multiply(a, blocksBetween(size));
    // The inverse of blocks of one row is 1.
    x = x === null ? mx.subtract(identity(), between) : mx.subtract(x, mx.matmul(mx.matmul(x, between), x));
  }
  return x!;
}

const identity = () => mx.subtract(triangle(0), triangle(1));

/** float32 [CHUNK, CHUNK]: 1 in the lower left quarter of every diagonal block of 2 size rows. */
function blocksBetween(size: number): MxArray {
  const places = Array.from({ length: CHUNK }, (_, i) => Math.floor(i / size));
  const rows = places.map((place) => (place % 2 === 1 ? place - 1 : -1));
  return mx.astype(mx.equal(ints(places, [1, CHUNK]), ints(rows, [CHUNK, 1])), DTYPES.float32);
}

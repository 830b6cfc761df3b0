/** Mamba-2's scan as a graph. Dao and Gu, Transformers are SSMs, 2024. */
import { dimension, scalar, shapeOf } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { StateSpaceSteps } from "./cache.ts";
import { chunkOf, decaysOf, intoChunks, joinChunks, outOfChunks, swapLast } from "./chunks.ts";
import { type Scan, softplus, takePart } from "./scan.ts";

interface Inputs {
  /** Inputs times their step, [rows, tokens, H, P]. */
  x: MxArray;
  /** [rows, tokens, G, N] */
  b: MxArray;
  c: MxArray;
  /** Logarithm of what is kept, [rows, tokens, H]. */
  decay: MxArray;
}

export function stateSpaceScan(all: MxArray, { dt, bias, decay, skip, limits: [low, high] }: StateSpaceSteps): Scan {
  const raw = softplus(mx.add(mx.astype(dt, DTYPES.float32), bias));
  const steps = mx.minimum(mx.maximum(raw, scalar(low)), scalar(high));
  return (part, states) => {
    const [, heads = 0, dim = 0, size = 0] = shapeOf(states);
    const { rows, tokens } = part;
    const own = takePart(all, part);
    const inner = heads * dim;
    const groups = (dimension(all, 1) - inner) / (2 * size);
    const cut = (from: number, count: number, width: number) =>
      mx.reshape(mx.slice(own, [0, 0, from], [rows, tokens, from + count * width]), [rows, tokens, count, width]);
    const x = cut(0, heads, dim);
    const step = takePart(steps, part);
    const inputs = {
      x: mx.multiply(x, mx.expandDims(step, 3)),
      b: cut(inner, groups, size),
      c: cut(inner + groups * size, groups, size),
      decay: mx.multiply(step, decay),
    };
    const { y, states: next } = tokens === 1 ? stepOnce(inputs, states) : scanChunks(inputs, states);
    const skipped = mx.multiply(mx.reshape(x, [rows * tokens, heads, dim]), mx.expandDims(skip, 1));
    return { y: mx.reshape(mx.add(y, skipped), [rows * tokens, inner]), states: next };
  };
}

/** One token of every row. */
function stepOnce({ x, b, c, decay }: Inputs, states: MxArray): ReturnType<Scan> {
  const [rows = 0, heads = 0, dim = 0, size = 0] = shapeOf(states);
  const groups = dimension(b, 2);
  const grouped = [rows, groups, heads / groups];
  const ofGroup = (array: MxArray) => mx.reshape(array, [rows, groups, 1, 1, size]);
  const old = mx.multiply(mx.reshape(states, [...grouped, dim, size]), mx.reshape(mx.exp(decay), [...grouped, 1, 1]));
  const next = mx.add(old, mx.multiply(mx.reshape(x, [...grouped, dim, 1]), ofGroup(b)));
  const y = mx.sum(mx.multiply(next, ofGroup(c)), -1, false);
  return { y: mx.reshape(y, [rows, heads, dim]), states: mx.reshape(next, [rows, heads, dim, size]) };
}

/** One row, a chunk at a time: inside a chunk it is attention whose scores c_i . b_j decay from j to i. */
function scanChunks(inputs: Inputs, states: MxArray): ReturnType<Scan> {
  const [, heads = 0, dim = 0, size = 0] = shapeOf(states);
  const [, tokens = 0, groups = 0] = shapeOf(inputs.b);
  const inChunks = (x: MxArray) => intoChunks(x, groups);
  const [x, b, c] = [inChunks(inputs.x), inChunks(inputs.b), inChunks(inputs.c)];
  const { between, since, until, whole } = decaysOf(inChunks(inputs.decay));
  const inside = mx.matmul(mx.multiply(mx.matmul(c, swapLast(b)), between), x);
  const added = mx.matmul(swapLast(mx.multiply(x, until)), b);
  const before: MxArray[] = [];
  let state = mx.reshape(states, [groups, heads / groups, dim, size]);
  for (let i = 0; i < dimension(b, 2); i++) {
    before.push(state);
    state = mx.add(mx.multiply(state, chunkOf(whole, i)), chunkOf(added, i));
  }
  const carried = mx.multiply(mx.matmul(c, swapLast(joinChunks(before))), since);
  return { y: outOfChunks(mx.add(inside, carried), tokens), states: mx.reshape(state, [1, heads, dim, size]) };
}

/** The gated delta rule as a graph. Yang, Kautz and Hatamizadeh, Gated Delta Networks, 2024. */
import { dimension, shapeOf } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import { rmsNorm, times } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { DeltaGates } from "./cache.ts";
import { chunkOf, decaysOf, intoChunks, invertUnitLower, joinChunks, outOfChunks, swapLast, triangle } from "./chunks.ts";
import { type Part, type Scan, softplus, takePart } from "./scan.ts";

const NORM_EPS = 1e-6;

interface Inputs {
  /** [rows, tokens, Hk, Dk], normalised. */
  q: MxArray;
  k: MxArray;
  /** [rows, tokens, Hv, Dv] */
  v: MxArray;
  /** Logarithm of g, and beta: [rows, tokens, Hv]. */
  decay: MxArray;
  beta: MxArray;
}

export function deltaScan(x: MxArray, { a, b, decay, bias, keyHeads }: DeltaGates): Scan {
  const float32 = (array: MxArray) => mx.astype(array, DTYPES.float32);
  const logDecay = mx.multiply(decay, softplus(mx.add(float32(a), bias)));
  const beta = mx.sigmoid(float32(b));
  return (part, states) => {
    const [, heads = 0, valueDim = 0, keyDim = 0] = shapeOf(states);
    const keys = keyHeads * keyDim;
    const all = takePart(x, part);
    const cut = (from: number, count: number, dim: number) =>
      mx.reshape(mx.slice(all, [0, 0, from], [part.rows, part.tokens, from + count * dim]), [part.rows, part.tokens, count, dim]);
    // MLX's epsilon is added to the mean of the squares, the rule's to their sum.
    const unit = (vectors: MxArray, scale: number) => times(rmsNorm(vectors, null, NORM_EPS / keyDim), scale * keyDim ** -0.5);
    const inputs = {
      q: unit(cut(0, keyHeads, keyDim), keyDim ** -0.5),
      k: unit(cut(keys, keyHeads, keyDim), 1),
      v: cut(2 * keys, heads, valueDim),
      decay: takePart(logDecay, part),
      beta: takePart(beta, part),
    };
    return fused(inputs, states, part) ?? (part.tokens === 1 ? step(inputs, states) : scanChunks(inputs, states));
  };
}

/** MLX's own kernel, where it has one for these sizes. */
function fused({ q, k, v, decay, beta }: Inputs, states: MxArray, { rows, tokens }: Part): ReturnType<Scan> | null {
  const both = mx.fusedGatedDelta(q, k, v, mx.exp(decay), beta, states);
  if (dimension(both, 0) === 0) return null;
  const [, , heads = 0, valueDim = 0] = shapeOf(v);
  const size = tokens * heads * valueDim;
  const y = mx.slice(both, [0, 0], [rows, size]);
  const next = mx.slice(both, [0, size], shapeOf(both));
  return { y: mx.reshape(y, [rows * tokens, heads, valueDim]), states: mx.reshape(next, shapeOf(states)) };
}

/** One token of every row. */
function step({ q, k, v, decay, beta }: Inputs, states: MxArray): ReturnType<Scan> {
  const [rows = 0, heads = 0, valueDim = 0, keyDim = 0] = shapeOf(states);
  const keyHeads = dimension(k, 2);
  const grouped = [rows, keyHeads, heads / keyHeads];
  const ofKey = (array: MxArray) => mx.reshape(array, [rows, keyHeads, 1, 1, keyDim]);
  const old = mx.multiply(mx.reshape(states, [...grouped, valueDim, keyDim]), mx.reshape(mx.exp(decay), [...grouped, 1, 1]));
  const recalled = mx.sum(mx.multiply(old, ofKey(k)), -1, true);
  const error = mx.subtract(mx.reshape(v, [...grouped, valueDim, 1]), recalled);
  const delta = mx.multiply(error, mx.reshape(beta, [...grouped, 1, 1]));
  const next = mx.add(old, mx.multiply(delta, ofKey(k)));
  const y = mx.sum(mx.multiply(next, ofKey(q)), -1, false);
  return { y: mx.reshape(y, [rows, heads, valueDim]), states: mx.reshape(next, [rows, heads, valueDim, keyDim]) };
}

/**
 * One row, a chunk at a time: with deltas d the state after token i is G_i S + sum over j <= i of G_i / G_j d_j k_j^T, so that the
 * deltas of a chunk solve (1 + A) d = beta (v - G S k), A_ij = beta_i G_i / G_j (k_i . k_j) for j < i.
 */
function scanChunks(inputs: Inputs, states: MxArray): ReturnType<Scan> {
  const [, heads = 0, valueDim = 0, keyDim = 0] = shapeOf(states);
  const [, tokens = 0, keyHeads = 0] = shapeOf(inputs.k);
  const inChunks = (x: MxArray) => intoChunks(x, keyHeads);
  const [q, k, v] = [inChunks(inputs.q), inChunks(inputs.k), inChunks(inputs.v)];
  const { between, since, until, whole } = decaysOf(inChunks(inputs.decay));
  const beta = mx.expandDims(inChunks(inputs.beta), 4);
  const products = mx.multiply(mx.multiply(mx.matmul(k, swapLast(k)), mx.multiply(between, triangle(1))), beta);
  const inverse = invertUnitLower(products);
  const values = mx.matmul(inverse, mx.multiply(v, beta));
  const recall = mx.matmul(inverse, mx.multiply(k, mx.multiply(beta, since)));
  const scores = mx.multiply(mx.matmul(q, swapLast(k)), between);
  const [queries, stored] = [mx.multiply(q, since), mx.multiply(k, until)];
  let state = mx.reshape(states, [keyHeads, heads / keyHeads, valueDim, keyDim]);
  const outputs: MxArray[] = [];
  for (let i = 0; i < dimension(k, 2); i++) {
    const before = swapLast(state);
    const delta = mx.subtract(chunkOf(values, i), mx.matmul(chunkOf(recall, i), before));
    outputs.push(mx.add(mx.matmul(chunkOf(queries, i), before), mx.matmul(chunkOf(scores, i), delta)));
    state = mx.add(mx.multiply(state, chunkOf(whole, i)), mx.matmul(swapLast(delta), chunkOf(stored, i)));
  }
  return { y: outOfChunks(joinChunks(outputs), tokens), states: mx.reshape(state, [1, heads, valueDim, keyDim]) };
}

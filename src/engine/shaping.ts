/**
 * Filters that are no single threshold on the probabilities, for the few rows that ask for them. In order: top-n-sigma, typical-p,
 * top-p and min-p, XTC, top-k, each on what the ones before have left, as mlx-lm orders those that it has.
 */
import { dimension, floats, ints } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import { currentDevice, type MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { thresholds } from "./filters.ts";
import { column, indicesOf, logSoftmax, replaceRows } from "./graph-rows.ts";
import { uniform } from "./random.ts";
import type { SamplingParams } from "./request.ts";

export interface ShapedRow {
  sampling: SamplingParams;
  /** Seed of the request, drawn when it names none. */
  seed: number;
  /** How many tokens the request has sampled before. */
  position: number;
  /** Tokens that XTC leaves alone. */
  exempt: readonly number[];
}

/** No probability is above it. */
const NEVER = 1;

/** Whether the next token of the row goes through these filters. */
export function isShaped(row: ShapedRow): boolean {
  const { typicalP = 1, topNSigma = 0 } = row.sampling;
  return typicalP < 1 || topNSigma > 0 || xtcThreshold(row) < NEVER;
}

/** XTC is applied to a share of the tokens, by a number that depends on nothing but seed and position. */
function xtcThreshold({ sampling: { xtc }, seed, position }: ShapedRow): number {
  return xtc && uniform(seed, ~position) < xtc.probability ? xtc.threshold : NEVER;
}

/** scores float32 [n, vocab] with -infinity for what the rows' filters remove, and the rows without these filters. */
export function shapeRows<R extends ShapedRow>(
  scores: MxArray,
  rows: readonly R[],
  vocab: number,
): { scores: MxArray; rows: readonly R[] } {
  const shaped = indicesOf(rows, isShaped);
  if (shaped.length === 0) return { scores, rows };
  const chosen = shaped.map((i) => rows[i]!);
  const shape = currentDevice() === "cpu" ? shapeByKernel : shapeByGraph;
  return {
    scores: replaceRows(scores, rows.length, shaped, (part) => shape(part, chosen, vocab)),
    rows: rows.map((row) => (isShaped(row) ? { ...row, sampling: { ...row.sampling, topP: 1, topK: 0, minP: 0 } } : row)),
  };
}

/** By our CPU primitive. */
export function shapeByKernel(scores: MxArray, rows: readonly ShapedRow[]): MxArray {
  const table = rows.flatMap((row) => {
    const { topNSigma = 0, typicalP = 1, topP, minP, topK } = row.sampling;
    return [topNSigma, typicalP, topP, minP, xtcThreshold(row), topK];
  });
  return mx.cpuShape(scores, floats(table, [rows.length, 6]), exemptIds(rows, -1));
}

/** Ids [n, w], shorter lists filled up. */
function exemptIds(rows: readonly ShapedRow[], filler: number): MxArray {
  const width = Math.max(1, ...rows.map(({ exempt }) => exempt.length));
  const ids = new Int32Array(rows.length * width).fill(filler);
  rows.forEach(({ exempt }, row) => {
    ids.set(exempt, row * width);
  });
  return ints(ids, [rows.length, width]);
}

const keep = (scores: MxArray, kept: MxArray) => mx.where(kept, scores, floats([-Infinity]));

/** The same as a graph of MLX's operations. */
export function shapeByGraph(scores: MxArray, rows: readonly ShapedRow[], vocab: number): MxArray {
  let left = scores;
  if (rows.some(({ sampling }) => (sampling.topNSigma ?? 0) > 0)) left = keepWithinSigma(left, rows);
  if (rows.some(({ sampling }) => (sampling.typicalP ?? 1) < 1)) left = keepTypical(left, rows, vocab);
  left = keepAbove(left, rows, vocab, ({ topP, minP }) => ({ topP, minP, topK: 0 }));
  if (rows.some((row) => xtcThreshold(row) < NEVER)) left = excludeTopChoices(left, rows, vocab);
  return keepAbove(left, rows, vocab, ({ topK }) => ({ topP: 1, minP: 0, topK }));
}

function keepAbove(
  scores: MxArray,
  rows: readonly ShapedRow[],
  vocab: number,
  choose: (sampling: SamplingParams) => Pick<SamplingParams, "topP" | "minP" | "topK">,
): MxArray {
  const logprobs = logSoftmax(scores);
  const plain = rows.map(({ sampling }) => ({ sampling: { ...sampling, ...choose(sampling) } }));
  const threshold = thresholds(logprobs, plain, vocab);
  return threshold === null ? scores : keep(scores, mx.greaterEqual(logprobs, threshold));
}

/** Tang et al., "Top-nσ" (arXiv 2411.07641): logits at most n standard deviations below the largest. */
function keepWithinSigma(scores: MxArray, rows: readonly ShapedRow[]): MxArray {
  const zero = floats([0]);
  const finite = mx.greater(scores, floats([-Infinity]));
  const count = mx.sum(mx.astype(finite, DTYPES.float32), -1, true);
  const mean = mx.divide(mx.sum(mx.where(finite, scores, zero), -1, true), count);
  const squares = mx.sum(mx.where(finite, mx.square(mx.subtract(scores, mean)), zero), -1, true);
  const n = column(rows, ({ sampling }) => sampling.topNSigma ?? 0);
  const lowest = mx.subtract(mx.max(scores, -1, true), mx.multiply(n, mx.sqrt(mx.divide(squares, count))));
  return keep(scores, mx.greaterEqual(scores, mx.where(mx.greater(n, zero), lowest, floats([-Infinity]))));
}

/** Meister et al., "Locally Typical Sampling" (arXiv 2202.00666): those whose surprise is closest to the expected one. */
function keepTypical(scores: MxArray, rows: readonly ShapedRow[], vocab: number): MxArray {
  const logprobs = logSoftmax(scores);
  const probs = mx.exp(logprobs);
  const possible = mx.greater(probs, floats([0]));
  const terms = mx.where(possible, mx.multiply(probs, logprobs), floats([0]));
  // |-log p - entropy|, the entropy being minus the sum of the terms.
  const difference = mx.subtract(mx.sum(terms, -1, true), logprobs);
  const distance = mx.where(possible, mx.maximum(difference, mx.negative(difference)), floats([Infinity]));
  const order = mx.argsort(distance, -1);
  const mass = mx.cumsum(mx.takeAlongAxis(probs, order, -1), -1);
  const wanted = column(rows, ({ sampling }) => sampling.typicalP ?? 1);
  const before = mx.sum(mx.astype(mx.less(mass, wanted), DTYPES.int32), -1, true);
  const last = mx.minimum(before, ints([vocab - 1]));
  const furthest = mx.takeAlongAxis(mx.takeAlongAxis(distance, order, -1), last, -1);
  return keep(scores, mx.lessEqual(distance, mx.where(mx.less(wanted, floats([1])), furthest, floats([Infinity]))));
}

/** XTC (p-e-w, 2024), as mlx-lm has it: of the tokens above the threshold all but the least likely one are removed. */
function excludeTopChoices(scores: MxArray, rows: readonly ShapedRow[], vocab: number): MxArray {
  const probs = mx.softmax(scores, -1);
  const above = mx.greater(probs, column(rows, xtcThreshold));
  const least = mx.min(mx.where(above, probs, floats([Infinity])), -1, true);
  return mx.where(mx.logicalAnd(mx.greater(probs, least), mx.logicalNot(exemptMask(rows, vocab))), floats([-Infinity]), scores);
}

/** bool [n, vocab] */
function exemptMask(rows: readonly ShapedRow[], vocab: number): MxArray {
  const inside = rows.map((row) => ({ ...row, exempt: row.exempt.filter((id) => id >= 0 && id < vocab) }));
  // One column more takes what fills up shorter lists.
  const ids = exemptIds(inside, vocab);
  const ones = mx.full([rows.length, dimension(ids, 1)], 1, DTYPES.int32);
  const marked = mx.putAlongAxis(mx.zeros([rows.length, vocab + 1], DTYPES.int32), ids, ones, 1);
  return mx.greater(mx.slice(marked, [0, 0], [rows.length, vocab]), ints([0]));
}

/** Which tokens the rows draw from, as a graph of MLX's operations. */
import { floats, ints } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { column, indicesOf, logSoftmax, replaceRows, takeRows } from "./graph-rows.ts";
import type { SamplingParams } from "./request.ts";

export interface FilterRow {
  sampling: SamplingParams;
}

/** Probabilities [n, vocab] after top-p, min-p, top-k and the temperature. */
export function filteredProbs(scores: MxArray, rows: readonly FilterRow[], vocab: number): MxArray {
  const logprobs = logSoftmax(scores);
  const threshold = thresholds(logprobs, rows, vocab);
  const tempered = mx.divide(
    logprobs,
    column(rows, ({ sampling }) => sampling.temperature),
  );
  const open = threshold === null ? tempered : mx.where(mx.greaterEqual(logprobs, threshold), tempered, floats([-Infinity]));
  return mx.softmax(open, -1);
}

/** The lowest log-probability that each row keeps, [n, 1]; null when nobody filters. */
export function thresholds(logprobs: MxArray, rows: readonly FilterRow[], vocab: number): MxArray | null {
  const sorting = indicesOf(rows, ({ sampling }) => sampling.topP < 1 || (sampling.topK > 0 && sampling.topK < vocab));
  const anyMinP = rows.some(({ sampling }) => sampling.minP > 0);
  if (sorting.length === 0 && !anyMinP) return null;
  let threshold = floats(new Float32Array(rows.length).fill(-Infinity), [rows.length, 1]);
  if (anyMinP)
    threshold = mx.add(
      mx.max(logprobs, -1, true),
      column(rows, ({ sampling }) => Math.log(sampling.minP)),
    );
  return replaceRows(threshold, rows.length, sorting, (part) => {
    const chosen = sorting.map((i) => rows[i]!);
    return mx.maximum(part, sortedThresholds(takeRows(logprobs, rows.length, sorting), chosen, vocab));
  });
}

/** top-p keeps a token while the mass above it is below p; top-k the k largest. Never above the largest itself. */
function sortedThresholds(logprobs: MxArray, rows: readonly FilterRow[], vocab: number): MxArray {
  const ascending = mx.sort(logprobs, -1);
  const largest = mx.slice(ascending, [0, vocab - 1], [rows.length, vocab]);
  const mass = mx.cumsum(mx.exp(ascending), -1);
  const limit = column(rows, ({ sampling }) => (sampling.topP < 1 ? 1 - sampling.topP : -1));
  const kept = mx.where(mx.greater(mass, limit), ascending, floats([Infinity]));
  const byMass = mx.minimum(mx.min(kept, -1, true), largest);
  const ranks = Int32Array.from(rows, ({ sampling: { topK } }) => (topK > 0 && topK < vocab ? vocab - topK : 0));
  const byRank = mx.takeAlongAxis(ascending, ints(ranks, [rows.length, 1]), -1);
  return mx.maximum(byMass, byRank);
}

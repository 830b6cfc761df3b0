/** Bias and penalties of rows: sparse edits of the logits, all rows in one graph. */
import { dimension, floats, ints } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { SamplingParams } from "./request.ts";

/** What the penalties of one row look at. */
export interface PenaltyRow {
  sampling: SamplingParams;
  prompt: ArrayLike<number>;
  /** Output tokens whose values are known. */
  output: ArrayLike<number>;
  /** Index into the previous step's tokens of one more output token, not known yet; null: there is none. */
  pending: number | null;
  /** Tokens that must not be drawn now, such as end tokens before `minTokens`. */
  banned: readonly number[];
  /** What is subtracted from tokens that go on with a repetition; only for a row without a pending token. */
  repetitions?: ReadonlyMap<number, number> | null;
}

export function hasPenalty({ sampling: s, banned, repetitions }: PenaltyRow): boolean {
  const penalties = s.repetitionPenalty !== 1 || s.presencePenalty !== 0 || s.frequencyPenalty !== 0;
  return penalties || s.logitBias.size > 0 || banned.length > 0 || (repetitions?.size ?? 0) > 0;
}

/** How one token's logit x changes: x + bias, then times or divided by `repetition`, then minus what the others say. */
interface Edit {
  bias: number;
  repeated: boolean;
  present: boolean;
  count: number;
  dry: number;
}

/** By token id; ids outside of the vocabulary, which requests may name, have nothing to edit. */
function editsOf(row: PenaltyRow, vocab: number): Map<number, Edit> {
  const { sampling, banned, repetitions } = row;
  const edits = new Map<number, Edit>();
  const at = (id: number): Edit => {
    let edit = edits.get(id);
    if (!edit) {
      edit = { bias: 0, repeated: false, present: false, count: 0, dry: 0 };
      edits.set(id, edit);
    }
    return edit;
  };
  for (const [id, bias] of sampling.logitBias) at(id).bias = bias;
  if (sampling.repetitionPenalty !== 1) {
    forLast(row, sampling.repetitionContextSize ?? Number.POSITIVE_INFINITY, (id) => {
      at(id).repeated = true;
    });
  }
  if (sampling.presencePenalty !== 0) {
    forLast(row, sampling.presenceContextSize ?? "output", (id) => {
      at(id).present = true;
    });
  }
  if (sampling.frequencyPenalty !== 0) {
    forLast(row, sampling.frequencyContextSize ?? "output", (id) => {
      at(id).count++;
    });
  }
  for (const [id, penalty] of repetitions ?? []) at(id).dry = penalty;
  for (const id of banned) at(id).bias = Number.NEGATIVE_INFINITY;
  for (const id of edits.keys()) if (id < 0 || id >= vocab) edits.delete(id);
  return edits;
}

/** The known ones of the last `window` tokens of prompt and output, or of the whole output. */
function forLast({ prompt, output, pending }: PenaltyRow, window: number | "output", visit: (id: number) => void): void {
  const length = prompt.length + output.length;
  const first = window === "output" ? prompt.length : Math.max(0, length - window + (pending === null ? 0 : 1));
  for (let i = first; i < length; i++) visit(i < prompt.length ? prompt[i]! : output[i - prompt.length]!);
}

/** logits float32 [n, vocab] of exactly these rows; returns them edited. `previous` holds the pending tokens. */
export function applyPenalties(logits: MxArray, rows: readonly PenaltyRow[], previous: MxArray | null): MxArray {
  const vocab = dimension(logits, 1);
  const edits = rows.map((row) => editsOf(row, vocab));
  const width = Math.max(1, ...edits.map((map) => map.size));
  const ids = new Int32Array(rows.length * width);
  // Padding repeats the row's first entry, which writes the same value twice, and matches no pending token.
  const names = new Int32Array(rows.length * width).fill(-1);
  const bias = new Float32Array(rows.length * width);
  const factor = new Float32Array(rows.length * width).fill(1);
  const subtract = new Float32Array(rows.length * width);
  const counts = new Float32Array(rows.length * width);
  edits.forEach((map, r) => {
    const { presencePenalty, frequencyPenalty, repetitionPenalty } = rows[r]!.sampling;
    const entries = [...map];
    for (let i = 0; i < width; i++) {
      const entry = entries[i] ?? entries[0];
      if (!entry) continue;
      const [id, edit] = entry;
      const at = r * width + i;
      ids[at] = id;
      if (i < entries.length) names[at] = id;
      bias[at] = edit.bias;
      factor[at] = edit.repeated ? repetitionPenalty : 1;
      subtract[at] = (edit.present ? presencePenalty : 0) + frequencyPenalty * edit.count + edit.dry;
      counts[at] = edit.count;
    }
  });
  const shape = [rows.length, width];
  const index = ints(ids, shape);
  const biases = floats(bias, shape);
  const edited = change(mx.takeAlongAxis(logits, index, 1), biases, floats(factor, shape), floats(subtract, shape));
  const result = mx.putAlongAxis(logits, index, edited, 1);
  if (previous === null || rows.every((row) => row.pending === null)) return result;
  return editPending(logits, result, rows, previous, ints(names, shape), biases, floats(counts, shape));
}

/** x [n, m] with bias, repetition factor and subtraction, in mlx-lm's order. */
function change(x: MxArray, bias: MxArray, factor: MxArray, subtract: MxArray): MxArray {
  const biased = mx.add(x, bias);
  const zero = floats([0]);
  const repeated = mx.where(mx.less(biased, zero), mx.multiply(biased, factor), mx.divide(biased, factor));
  return mx.subtract(repeated, subtract);
}

/** The token in flight counts as well: its entry is computed anew from what is known of it and one more occurrence. */
function editPending(
  logits: MxArray,
  edited: MxArray,
  rows: readonly PenaltyRow[],
  previous: MxArray,
  names: MxArray,
  bias: MxArray,
  counts: MxArray,
): MxArray {
  const column = (value: (row: PenaltyRow) => number) => floats(Float32Array.from(rows, value), [rows.length, 1]);
  const source = ints(Int32Array.from(rows, (row) => row.pending ?? 0));
  const token = mx.expandDims(mx.take(previous, source, 0), 1);
  const match = mx.equal(names, token);
  const zero = floats([0]);
  const ownBias = mx.sum(mx.where(match, bias, zero), 1, true);
  const count = mx.add(mx.sum(mx.where(match, counts, zero), 1, true), floats([1]));
  const subtract = mx.add(
    column(({ sampling: { presencePenalty, presenceContextSize } }) => (presenceContextSize === 0 ? 0 : presencePenalty)),
    mx.multiply(
      column(({ sampling: { frequencyPenalty, frequencyContextSize } }) => (frequencyContextSize === 0 ? 0 : frequencyPenalty)),
      count,
    ),
  );
  const factor = column(({ sampling }) => (sampling.repetitionContextSize === 0 ? 1 : sampling.repetitionPenalty));
  const value = change(mx.takeAlongAxis(logits, token, 1), ownBias, factor, subtract);
  const pending = mx.greater(
    column((row) => (row.pending === null ? 0 : 1)),
    zero,
  );
  return mx.putAlongAxis(edited, token, mx.where(pending, value, mx.takeAlongAxis(edited, token, 1)), 1);
}

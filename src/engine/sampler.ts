/**
 * Draws the next token of every row in one graph; each parameter is a vector over rows, and the costly parts run only for
 * the rows that ask. Filters as in mlx-lm: top-p, min-p and top-k on the untempered probabilities, temperature last; others in
 * `shaping.ts`.
 */
import { dimension, floats, ints } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import { argmax } from "../mlx/fast.ts";
import { currentDevice, type MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { filteredProbs } from "./filters.ts";
import { column, indicesOf, logSoftmax, replaceRows, takeRows } from "./graph-rows.ts";
import { applyPenalties, hasPenalty, type PenaltyRow } from "./penalties.ts";
import { uniform } from "./random.ts";
import { isShaped, type ShapedRow, shapeRows } from "./shaping.ts";

export interface SamplerRow extends PenaltyRow, ShapedRow {
  /** Null: no log-probabilities; otherwise how many alternatives. */
  logprobs: number | null;
  /** Bits of the tokens that may be drawn, see `applyMask`; null: all. */
  allowed: Int32Array | null;
}

export interface Sampled {
  /** int32 [n] */
  tokens: MxArray;
  logprobs: SampledLogprobs | null;
}

export interface SampledLogprobs {
  /** The rows that asked, in the order of the arrays below. */
  rows: readonly number[];
  /** float32 [rows]: of the chosen token, before penalties and temperature. */
  chosen: MxArray;
  /** int32 [rows, k], in no order; null when nobody wants alternatives. */
  topIds: MxArray | null;
  /** float32 [rows, k] */
  topLogprobs: MxArray | null;
}

/** A lower temperature is greedy: dividing by it would leave float32's range. */
const COLDEST = 1e-5;

/** logits [n, vocab] in any floating-point type, one row of `rows` each. `previous`: tokens of the step before. */
export function sample(logits: MxArray, rows: readonly SamplerRow[], previous: MxArray | null, vocab: number): Sampled {
  const raw = mx.astype(logits, DTYPES.float32);
  const penalized = indicesOf(rows, hasPenalty);
  const edited = replaceRows(raw, rows.length, penalized, (part) =>
    applyPenalties(
      part,
      penalized.map((i) => rows[i]!),
      previous,
    ),
  );
  const masked = indicesOf(rows, ({ allowed }) => allowed !== null);
  const scores = replaceRows(edited, rows.length, masked, (part) =>
    applyMask(
      part,
      masked.map((i) => rows[i]!.allowed!),
      vocab,
    ),
  );
  const random = indicesOf(rows, isRandom);
  let tokens = mx.astype(argmax(scores), DTYPES.int32);
  if (random.length > 0) {
    const drawn = draw(
      takeRows(scores, rows.length, random),
      random.map((i) => rows[i]!),
      vocab,
    );
    tokens = random.length === rows.length ? drawn : mx.putAlongAxis(tokens, ints(random), drawn, 0);
  }
  const asked = indicesOf(rows, (row) => row.logprobs !== null);
  if (asked.length === 0) return { tokens, logprobs: null };
  const most = Math.min(vocab, Math.max(...asked.map((i) => rows[i]!.logprobs!)));
  return { tokens, logprobs: logprobsOf(takeRows(raw, rows.length, asked), tokens, asked, most) };
}

/** Whether the row's token is anything but the likeliest one, which the filters of `shaping.ts` may remove. */
function isRandom(row: SamplerRow): boolean {
  const { temperature, topK } = row.sampling;
  return temperature >= COLDEST && (topK !== 1 || isShaped(row));
}

/** scores float32 [n, vocab] with -infinity for the tokens whose bit, `id & 31` of word `id >> 5` of the row's mask, is not set. */
export function applyMask(scores: MxArray, masks: readonly Int32Array[], vocab: number): MxArray {
  const width = Math.ceil(vocab / 32);
  const words = new Int32Array(masks.length * width);
  masks.forEach((mask, row) => {
    words.set(mask.subarray(0, width), row * width);
  });
  const allowed = ints(words, [masks.length, width]);
  return currentDevice() === "cpu" ? mx.cpuMask(scores, allowed) : maskByGraph(scores, allowed, vocab);
}

/** The same as a graph of MLX's operations. */
export function maskByGraph(scores: MxArray, allowed: MxArray, vocab: number): MxArray {
  const [rows, width] = [dimension(allowed, 0), dimension(allowed, 1)];
  const bits = mx.bitwiseAnd(mx.rightShift(mx.expandDims(allowed, 2), mx.arange(0, 32)), ints([1]));
  const flat = mx.slice(mx.reshape(bits, [rows, width * 32]), [0, 0], [rows, vocab]);
  return mx.where(mx.equal(flat, ints([1])), scores, floats([-Infinity]));
}

/** Inverse transform over the vocabulary in order of ids: one uniform number per row. int32 [n]. */
function draw(scores: MxArray, rows: readonly SamplerRow[], vocab: number): MxArray {
  const shaped = shapeRows(scores, rows, vocab);
  if (currentDevice() === "cpu") return mx.astype(mx.cpuSample(shaped.scores, samplingTable(shaped.rows)), DTYPES.int32);
  return drawByGraph(shaped.scores, shaped.rows, vocab);
}

/** What our CPU primitive takes, [n, 5]. */
export function samplingTable(rows: readonly SamplerRow[]): MxArray {
  const columns = rows.flatMap(({ sampling: { temperature, topP, topK, minP }, seed, position }) => {
    return [temperature, topP, topK, minP, uniform(seed, position)];
  });
  return floats(columns, [rows.length, 5]);
}

/** The same as a graph of MLX's operations. */
function drawByGraph(scores: MxArray, rows: readonly SamplerRow[], vocab: number): MxArray {
  const probs = filteredProbs(scores, rows, vocab);
  const running = mx.cumsum(probs, -1);
  const total = mx.slice(running, [0, vocab - 1], [rows.length, vocab]);
  const target = mx.multiply(
    total,
    column(rows, ({ seed, position }) => uniform(seed, position)),
  );
  return mx.astype(mx.argmax(mx.greater(running, target), -1), DTYPES.int32);
}

function logprobsOf(raw: MxArray, tokens: MxArray, rows: readonly number[], most: number): SampledLogprobs {
  const logprobs = logSoftmax(raw);
  const own = mx.expandDims(mx.take(tokens, ints(rows), 0), 1);
  const chosen = mx.contiguous(mx.squeeze(mx.takeAlongAxis(logprobs, own, -1), 1));
  if (most === 0) return { rows, chosen, topIds: null, topLogprobs: null };
  const order = mx.argpartition(mx.negative(logprobs), most - 1, -1);
  const topIds = mx.contiguous(mx.astype(mx.slice(order, [0, 0], [rows.length, most]), DTYPES.int32));
  return { rows, chosen, topIds, topLogprobs: mx.contiguous(mx.takeAlongAxis(logprobs, topIds, -1)) };
}

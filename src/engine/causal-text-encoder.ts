/** A language model as a maker of embeddings: hidden states before the head, in chunks as small as those of prompts. */
import { KvPool } from "../kv/pool.ts";
import { longestSpan, rowBytes } from "../kv/row-size.ts";
import { RowTable, sizeClasses } from "../kv/rows.ts";
import { floats, keep, readFloats, release, submit } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { EmbeddingModules } from "../models/embedding-modules.ts";
import type { LoadedModel } from "../models/load.ts";
import type { DenseLayer } from "../models/load-encoder.ts";
import { applyDense, finishVectors } from "./embedding-math.ts";
import { type ForwardSpan, openBatch } from "./forward.ts";
import { RunningPool } from "./running-pool.ts";
import type { EmbedTexts, TextTokens } from "./text-encoder.ts";

export interface CausalEncoderOptions {
  modules: EmbeddingModules;
  dense: readonly DenseLayer[];
  /** Tokens of a chunk: how long a decoding step beside it may have to wait. */
  maxTokensPerStep: number;
  /** For the caches of the texts under way. */
  kvBudgetBytes: number;
  /** Longest text. */
  contextLength: number;
}

/** A text under way. */
interface Row {
  id: number;
  tokens: TextTokens;
  /** Tokens that are computed. */
  done: number;
  pool: RunningPool;
}

type RowSpan = ForwardSpan & { row: Row };

/** Whether a text of so many tokens fits into the caches. */
export function fitsCaches({ model, dtype }: LoadedModel, length: number, kvBudgetBytes: number): boolean {
  const capacity = sizeClasses(length).at(-1)!;
  return rowBytes(model.caches, dtype, capacity) <= kvBudgetBytes;
}

/** The model must have `hidden`. Each call has caches of its own, which are gone at its end. */
export function createCausalEncoder(loaded: LoadedModel, options: CausalEncoderOptions): EmbedTexts {
  return async (texts) => {
    const { model, dtype } = loaded;
    const { modules, kvBudgetBytes: budgetBytes, contextLength } = options;
    const capacities = sizeClasses(contextLength);
    const rows = new RowTable({ capacities, rowBytes: (capacity) => rowBytes(model.caches, dtype, capacity), budgetBytes });
    const pool = new KvPool(model.caches, capacities, dtype);
    const pooled = new Map<number, Float32Array>();
    const waiting = texts.map((tokens, id): Row => ({ id, tokens, done: 0, pool: new RunningPool(modules.poolings) }));
    const running: Row[] = [];
    try {
      while (waiting.length + running.length > 0) {
        while (waiting.length > 0 && rows.ensure(waiting[0]!.id, waiting[0]!.tokens.length, 0)) running.push(waiting.shift()!);
        if (running.length === 0) throw new Error("a text is longer than the caches");
        await runStep(loaded, rows, pool, chooseSpans(running, options.maxTokensPerStep, longestSpan(model.caches)), modules);
        for (const row of running.filter(({ done, tokens }) => done === tokens.length)) {
          pooled.set(row.id, row.pool.finish());
          rows.remove(row.id);
          running.splice(running.indexOf(row), 1);
        }
      }
    } finally {
      pool.free();
    }
    const vectors = texts.map((_, id) => pooled.get(id)!);
    return finishVectors(await runDense(vectors, options.dense), modules.normalize);
  };
}

/** The oldest texts first, each as far as the room goes. */
function chooseSpans(running: readonly Row[], maxTokens: number, maxSpan: number): RowSpan[] {
  const spans: RowSpan[] = [];
  let room = maxTokens;
  for (const row of running) {
    if (room === 0) break;
    const { id, tokens, done } = row;
    const count = Math.min(room, maxSpan, tokens.length - done);
    room -= count;
    const token = (position: number) => tokens[position]!;
    spans.push({ row, sequence: id, start: done, count, pending: 0, sample: done + count === tokens.length, adapter: 0, token });
  }
  return spans;
}

async function runStep(
  { model }: LoadedModel,
  rows: RowTable,
  pool: KvPool,
  planned: readonly RowSpan[],
  { poolings }: EmbeddingModules,
): Promise<void> {
  const wantsAll = poolings.some((pooling) => pooling !== "last");
  const { result, done } = submit(() => {
    const { batch, spans, offsets } = openBatch(planned, rows, pool, null, wantsAll);
    const hidden = keep(mx.contiguous(mx.astype(model.hidden!(batch), DTYPES.float32)));
    return { outputs: [hidden, ...pool.changed()], awaited: 1, result: { hidden, spans, offsets } };
  });
  pool.settle();
  try {
    await done;
    const values = readFloats(result.hidden);
    const { spans, offsets } = result;
    const ends = spans.filter(({ sample }) => sample);
    const dim = values.length / (wantsAll ? spans.reduce((sum, { count }) => sum + count, 0) : Math.max(1, ends.length));
    const rowAt = (index: number) => values.subarray(index * dim, (index + 1) * dim);
    for (const [index, { row, count, start }] of spans.entries()) {
      if (wantsAll) for (let i = 0; i < count; i++) row.pool.add(rowAt(offsets[index]! + i));
      row.done = start + count;
      rows.advance(row.id, row.done);
    }
    if (!wantsAll) for (const [index, { row }] of ends.entries()) row.pool.add(rowAt(index));
  } finally {
    release(result.hidden);
  }
}

async function runDense(vectors: Float32Array[], layers: readonly DenseLayer[]): Promise<Float32Array[]> {
  if (layers.length === 0) return vectors;
  const width = vectors[0]!.length;
  const flat = new Float32Array(vectors.length * width);
  for (const [row, vector] of vectors.entries()) flat.set(vector, row * width);
  const { result, done } = submit(() => {
    const out: MxArray = keep(mx.contiguous(applyDense(floats(flat, [vectors.length, width]), layers)));
    return { outputs: [out], awaited: 1, result: out };
  });
  try {
    await done;
    const values = readFloats(result);
    const dim = values.length / vectors.length;
    return vectors.map((_, row) => values.slice(row * dim, (row + 1) * dim));
  } finally {
    release(result);
  }
}

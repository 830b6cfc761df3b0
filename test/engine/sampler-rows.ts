/** Rows, logits and readings for the tests of the sampler. */
import { join } from "node:path";
import { filteredProbs } from "../../src/engine/filters.ts";
import { applyPenalties, type PenaltyRow } from "../../src/engine/penalties.ts";
import type { SamplingParams } from "../../src/engine/request.ts";
import { type SamplerRow, sample } from "../../src/engine/sampler.ts";
import { shapeRows } from "../../src/engine/shaping.ts";
import { evaluate, floats, ints, readFloats, readInts, scope } from "../../src/mlx/array.ts";
import * as mx from "../../src/mlx/ops.ts";

export const GREEDY: SamplingParams = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  repetitionContextSize: null,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: new Map(),
  seed: null,
};

type RowOptions = Partial<Omit<SamplerRow, "sampling">> & Partial<SamplingParams>;

/** A row that draws greedily from its logits unless told otherwise. */
export function row(options: RowOptions = {}): SamplerRow {
  const { prompt, output, pending, banned, position, logprobs, seed, allowed, repetitions, exempt, ...sampling } = options;
  return {
    sampling: { ...GREEDY, ...sampling },
    prompt: prompt ?? [],
    output: output ?? [],
    pending: pending ?? null,
    banned: banned ?? [],
    position: position ?? 0,
    logprobs: logprobs ?? null,
    seed: seed ?? 0,
    allowed: allowed ?? null,
    repetitions: repetitions ?? null,
    exempt: exempt ?? [],
  };
}

export interface Drawn {
  tokens: number[];
  chosen: number[];
  /** By row that asked. */
  top: { id: number; logprob: number }[][];
}

/** What `sample` gives for logits [n][vocab] and the tokens of the step before. */
export function drawTokens(
  logits: readonly (readonly number[])[],
  rows: readonly SamplerRow[],
  previous?: readonly number[],
): Drawn {
  return scope(() => {
    const vocab = logits[0]!.length;
    const { tokens, logprobs } = sample(matrix(logits), rows, previous ? ints(previous) : null, vocab);
    const result = mx.contiguous(tokens);
    evaluate(result, ...(logprobs ? [logprobs.chosen, logprobs.topIds, logprobs.topLogprobs].filter((a) => a !== null) : []));
    const drawn: Drawn = { tokens: [...readInts(result)], chosen: [], top: [] };
    if (!logprobs) return drawn;
    drawn.chosen = [...readFloats(logprobs.chosen)];
    const ids = logprobs.topIds === null ? [] : [...readInts(logprobs.topIds)];
    const values = logprobs.topLogprobs === null ? [] : [...readFloats(logprobs.topLogprobs)];
    const each = ids.length / logprobs.rows.length;
    drawn.top = logprobs.rows.map((_, i) =>
      ids.slice(i * each, (i + 1) * each).map((id, j) => ({ id, logprob: values[i * each + j]! })),
    );
    return drawn;
  });
}

/** Probabilities from which the rows draw. */
export function readProbs(logits: readonly (readonly number[])[], rows: readonly SamplerRow[]): number[][] {
  const vocab = logits[0]!.length;
  return readMatrix(() => {
    const shaped = shapeRows(matrix(logits), rows, vocab);
    return filteredProbs(shaped.scores, shaped.rows, vocab);
  }, vocab);
}

/** Logits after bias and penalties. */
export function readPenalized(
  logits: readonly (readonly number[])[],
  rows: readonly PenaltyRow[],
  previous?: readonly number[],
): number[][] {
  return readMatrix(() => applyPenalties(matrix(logits), rows, previous ? ints(previous) : null), logits[0]!.length);
}

function matrix(rows: readonly (readonly number[])[]) {
  return floats(rows.flat(), [rows.length, rows[0]!.length]);
}

function readMatrix(build: () => ReturnType<typeof floats>, width: number): number[][] {
  return scope(() => {
    const array = mx.contiguous(build());
    evaluate(array);
    const all = [...readFloats(array)];
    return Array.from({ length: all.length / width }, (_, i) => all.slice(i * width, (i + 1) * width));
  });
}

export interface SamplingFixture {
  tolerance: { probs: number; logits: number };
  logits: Record<string, number[]>;
  greedy: Record<string, number>;
  filters: { logits: string; settings: Record<string, number>; kept: number[]; probs: number[] }[];
  processors: { logits: string; tokens: number[]; settings: ProcessorSettings; result: number[] }[];
}

export interface ProcessorSettings {
  repetition_penalty?: number;
  repetition_context_size?: number;
  presence_penalty?: number;
  presence_context_size?: number;
  frequency_penalty?: number;
  frequency_context_size?: number;
  logit_bias?: Record<string, number>;
}

/** What mlx-lm does to three vectors of logits. */
export async function readSamplingFixture(): Promise<SamplingFixture> {
  return Bun.file(join(import.meta.dir, "../fixtures/parity/sampling.json")).json();
}

/** Natural logarithms of the softmax. */
export function logSoftmax(logits: readonly number[]): number[] {
  const largest = Math.max(...logits);
  const total = logits.reduce((sum, x) => sum + Math.exp(x - largest), 0);
  return logits.map((x) => x - largest - Math.log(total));
}

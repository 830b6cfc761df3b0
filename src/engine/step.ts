/** One step: builds the graph of a plan, submits it, and reads what came out. */
import type { KvPool } from "../kv/pool.ts";
import type { RowTable } from "../kv/rows.ts";
import { ints, keep, readFloats, readInts, release, submit } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { LanguageModel } from "../models/model.ts";
import { drawableTokens } from "./constraint.ts";
import { openBatch } from "./forward.ts";
import type { GeneratedToken, TokenLogprob } from "./request.ts";
import { type SampledLogprobs, type SamplerRow, sample } from "./sampler.ts";
import type { PlanItem } from "./scheduler.ts";
import type { Sequence } from "./sequence.ts";

export interface StepOutput {
  sequence: Sequence;
  token: GeneratedToken;
}

interface Drawn {
  /** In the order of the tokens. */
  sequences: readonly Sequence[];
  /** int32 [sequences] */
  tokens: MxArray;
  logprobs: SampledLogprobs | null;
}

interface Logits {
  sequences: readonly Sequence[];
  /** float [sequences, vocab] */
  array: MxArray;
}

/** A sequence whose logits are there or on their way, and whose token waits for a mask. */
export interface Undrawn {
  sequence: Sequence;
  /** float [1, vocab]; whoever takes it on releases it. */
  logits: MxArray;
}

export class Step {
  /** Tokens computed for rows that decode, and for prompts. */
  readonly decodeTokens: number;
  readonly prefillTokens: number;
  readonly submittedAt = performance.now();
  /** When the forward pass is computed, and with it the tokens unless they are drawn later. */
  readonly computed: Promise<void>;
  #done: Promise<void>;
  /** Null when the step only prefilled, and until `draw`. */
  #drawn: Drawn | null;
  /** Of a step whose tokens are drawn later. */
  #logits: Logits | null = null;

  private constructor(parts: Pick<Step, "decodeTokens" | "prefillTokens" | "computed">, drawn: Drawn | null) {
    this.decodeTokens = parts.decodeTokens;
    this.prefillTokens = parts.prefillTokens;
    this.computed = parts.computed;
    this.#done = parts.computed;
    this.#drawn = drawn;
  }

  /**
   * `previous`: the step submitted before, when its tokens are still in flight. `later`: the tokens are drawn by `draw`, once
   * it is known what they may be; until then the forward pass runs.
   */
  static submit(
    model: LanguageModel,
    rows: RowTable,
    pool: KvPool,
    items: readonly PlanItem<Sequence>[],
    { previous, later }: { previous: Step | null; later: boolean },
  ): Step {
    const planned = items.map((item) => ({
      sequence: item.sequence.id,
      start: item.start,
      count: item.count,
      sample: item.sample,
      pending: item.sequence.pending,
      adapter: item.sequence.adapter,
      token: (position: number) => item.sequence.token(position),
      of: item.sequence,
    }));
    const known = previous?.tokens ?? null;
    const { result, done } = submit<{ sequences: Sequence[]; drawn: Drawn | null; logits: MxArray | null }>(() => {
      const { batch, spans } = openBatch(planned, rows, pool, known);
      const sequences = spans.filter((span) => span.sample).map((span) => span.of);
      const logits = model.forward(batch);
      const changed = pool.changed();
      pool.settle();
      if (sequences.length === 0 || later) {
        // Nothing to read, but the end of the step must be known: its logits are awaited in place of tokens.
        if (later) keep(logits);
        return { outputs: [logits, ...changed], awaited: 1, result: { sequences, drawn: null, logits: later ? logits : null } };
      }
      const drawn = drawTokens(logits, sequences, known, model.vocabSize);
      const awaited = arraysOf(drawn);
      return { outputs: [...awaited, ...changed], awaited: awaited.length, result: { sequences, drawn, logits: null } };
    });
    const total = items.reduce((sum, { count }) => sum + count, 0);
    const decodeTokens = items.filter(({ count, sample }) => sample && count === 1).length;
    const step = new Step({ decodeTokens, prefillTokens: total - decodeTokens, computed: done }, result.drawn);
    if (result.logits !== null) step.#logits = { sequences: result.sequences, array: result.logits };
    return step;
  }

  /** A step that computes nothing: tokens are drawn from logits of steps before. */
  static empty(): Step {
    return new Step({ decodeTokens: 0, prefillTokens: 0, computed: Promise.resolve() }, null);
  }

  /** int32 [sequences], perhaps not computed yet; null when there are none. Freed by `free`. */
  get tokens(): MxArray | null {
    return this.#drawn?.tokens ?? null;
  }

  /** How many tokens were drawn. */
  get drawnCount(): number {
    return this.#drawn?.sequences.length ?? 0;
  }

  /** Settles when what was submitted last is computed. */
  get done(): Promise<void> {
    return this.#done;
  }

  /** The sequences whose tokens are to be drawn later. */
  get undrawn(): readonly Sequence[] {
    return this.#logits?.sequences ?? [];
  }

  /**
   * Draws the tokens of `ready`, which are some of `undrawn`, and of `others`, whose logits are released. Returns those of
   * `late` with their logits; of the rest nothing is kept.
   */
  draw(ready: readonly Sequence[], late: readonly Sequence[], others: readonly Undrawn[], vocabSize: number): Undrawn[] {
    const own = this.#logits;
    this.#logits = null;
    const kept = ready.length + late.length + others.length > 0 ? this.#submitDraw(own, ready, late, others, vocabSize) : [];
    for (const { logits } of others) release(logits);
    if (own) release(own.array);
    return kept;
  }

  #submitDraw(
    own: Logits | null,
    ready: readonly Sequence[],
    late: readonly Sequence[],
    others: readonly Undrawn[],
    vocabSize: number,
  ): Undrawn[] {
    const { result, done } = submit<{ drawn: Drawn | null; kept: Undrawn[] }>(() => {
      const kept = late.map((sequence) => ({ sequence, logits: keep(mx.contiguous(logitsOf(own!, [sequence]))) }));
      const parts = others.map(({ logits }) => logits);
      if (ready.length > 0) parts.unshift(logitsOf(own!, ready));
      const sequences = [...ready, ...others.map(({ sequence }) => sequence)];
      const joined = parts.length > 1 ? mx.concatenate(parts, 0) : parts[0];
      const drawn = joined === undefined ? null : drawTokens(joined, sequences, null, vocabSize);
      const lateLogits = kept.map(({ logits }) => logits);
      const outputs = drawn ? [...arraysOf(drawn), ...lateLogits] : lateLogits;
      return { outputs, awaited: outputs.length, result: { drawn, kept } };
    });
    this.#drawn = result.drawn;
    this.#done = done;
    return result.kept;
  }

  /** The drawn tokens, once `done` has settled. */
  read(): StepOutput[] {
    if (this.#drawn === null) return [];
    const { sequences, tokens, logprobs } = this.#drawn;
    const ids = readInts(tokens);
    const outputs = sequences.map((sequence, row) => ({ sequence, token: { id: ids[row]! } as GeneratedToken }));
    if (logprobs) addLogprobs(outputs, logprobs);
    return outputs;
  }

  free(): void {
    for (const array of this.#drawn ? arraysOf(this.#drawn) : []) release(array);
    if (this.#logits) release(this.#logits.array);
    this.#drawn = null;
    this.#logits = null;
  }
}

function logitsOf({ sequences, array }: Logits, chosen: readonly Sequence[]): MxArray {
  const same = chosen.length === sequences.length;
  return same ? array : mx.take(array, ints(chosen.map((sequence) => sequences.indexOf(sequence))), 0);
}

/** logits [sequences, vocab]. What it returns is kept beyond the scope. */
function drawTokens(logits: MxArray, sequences: readonly Sequence[], previous: MxArray | null, vocabSize: number): Drawn {
  const rows = sequences.map((sequence) => samplerRow(sequence, vocabSize));
  const sampled = sample(logits, rows, previous, vocabSize);
  const drawn = { sequences, tokens: mx.contiguous(sampled.tokens), logprobs: sampled.logprobs };
  arraysOf(drawn).forEach(keep);
  sequences.forEach((sequence, row) => {
    sequence.pending = row;
  });
  return drawn;
}

function arraysOf({ tokens, logprobs }: Drawn): MxArray[] {
  const { chosen = null, topIds = null, topLogprobs = null } = logprobs ?? {};
  return [tokens, chosen, topIds, topLogprobs].filter((array) => array !== null);
}

function samplerRow(sequence: Sequence, vocabSize: number): SamplerRow {
  const { sampling, prompt, output, banned, seed, logprobs, inFlight, pending, constraint, endTokenIds, exempt } = sequence;
  const allowed = constraint?.allowed ?? null;
  // The plan has already counted the token that is being sampled now.
  const unknown = inFlight > 1;
  return {
    sampling,
    prompt,
    output,
    banned,
    repetitions: sequence.dry?.penalties(prompt, output) ?? null,
    exempt,
    seed,
    logprobs,
    position: sequence.sampledCount - 1,
    pending: unknown ? pending : null,
    allowed: allowed && drawableTokens(allowed, endTokenIds, vocabSize),
  };
}

function addLogprobs(outputs: readonly StepOutput[], { rows, chosen, topIds, topLogprobs }: SampledLogprobs): void {
  const own = readFloats(chosen);
  const ids = topIds === null ? new Int32Array() : readInts(topIds);
  const values = topLogprobs === null ? new Float32Array() : readFloats(topLogprobs);
  const most = ids.length / rows.length;
  rows.forEach((row, i) => {
    const { sequence, token } = outputs[row]!;
    token.logprob = own[i]!;
    const top: TokenLogprob[] = [];
    for (let j = i * most; j < (i + 1) * most; j++) top.push({ id: ids[j]!, logprob: values[j]! });
    token.top = top.sort((a, b) => b.logprob - a.logprob || a.id - b.id).slice(0, sequence.logprobs ?? 0);
  });
}

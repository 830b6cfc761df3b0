/** One step: builds the graph of a plan, submits it, and reads what came out. */
import type { KvPool } from "../kv/pool.ts";
import type { RowTable } from "../kv/rows.ts";
import { keep, readFloats, readInts, release, submit } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { LanguageModel } from "../models/model.ts";
import { openBatch } from "./forward.ts";
import type { GeneratedToken, TokenLogprob } from "./request.ts";
import { type SampledLogprobs, sample } from "./sampler.ts";
import type { PlanItem } from "./scheduler.ts";
import type { Sequence } from "./sequence.ts";

export interface StepOutput {
  sequence: Sequence;
  token: GeneratedToken;
}

interface Sampling {
  sequences: Sequence[];
  tokens: MxArray | null;
  logprobs: SampledLogprobs | null;
}

export class Step {
  /** Sequences that were sampled, in the order of the tokens. */
  readonly sequences: readonly Sequence[];
  /** Tokens computed for rows that decode, and for prompts. */
  readonly decodeTokens: number;
  readonly prefillTokens: number;
  readonly submittedAt = performance.now();
  readonly done: Promise<void>;
  /** int32 [sequences]; null when the step only prefilled. Freed by `free`. */
  readonly tokens: MxArray | null;
  readonly #logprobs: SampledLogprobs | null;

  private constructor(
    parts: Pick<Step, "sequences" | "decodeTokens" | "prefillTokens" | "done" | "tokens"> & { logprobs: SampledLogprobs | null },
  ) {
    this.sequences = parts.sequences;
    this.decodeTokens = parts.decodeTokens;
    this.prefillTokens = parts.prefillTokens;
    this.done = parts.done;
    this.tokens = parts.tokens;
    this.#logprobs = parts.logprobs;
  }

  /** `previous`: the step submitted before, when its tokens are still in flight. */
  static submit(
    model: LanguageModel,
    rows: RowTable,
    pool: KvPool,
    items: readonly PlanItem<Sequence>[],
    previous: Step | null,
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
    const { result, done } = submit<Sampling>(() => {
      const { batch, spans } = openBatch(planned, rows, pool, previous?.tokens ?? null);
      const sequences = spans.filter((span) => span.sample).map((span) => span.of);
      const logits = model.forward(batch);
      const changed = pool.changed();
      pool.settle();
      if (sequences.length === 0) {
        // Nothing to read, but the end of the step must be known: its logits are awaited in place of tokens.
        return { outputs: [logits, ...changed], awaited: 1, result: { sequences, tokens: null, logprobs: null } };
      }
      const sampled = sample(logits, sequences.map(samplerRow), previous?.tokens ?? null, model.vocabSize);
      const tokens = keep(mx.contiguous(sampled.tokens));
      const { logprobs } = sampled;
      const extra = logprobs ? [logprobs.chosen, logprobs.topIds, logprobs.topLogprobs].filter((a) => a !== null).map(keep) : [];
      const awaited = [tokens, ...extra];
      return { outputs: [...awaited, ...changed], awaited: awaited.length, result: { sequences, tokens, logprobs } };
    });
    result.sequences.forEach((sequence, row) => {
      sequence.pending = row;
    });
    const total = items.reduce((sum, { count }) => sum + count, 0);
    const decodeTokens = items.filter(({ count, sample }) => sample && count === 1).length;
    return new Step({ ...result, decodeTokens, prefillTokens: total - decodeTokens, done });
  }

  /** The sampled tokens, once `done` has settled. */
  read(): StepOutput[] {
    if (this.tokens === null) return [];
    const ids = readInts(this.tokens);
    const outputs = this.sequences.map((sequence, row) => ({ sequence, token: { id: ids[row]! } as GeneratedToken }));
    if (this.#logprobs) addLogprobs(outputs, this.#logprobs);
    return outputs;
  }

  free(): void {
    if (this.tokens !== null) release(this.tokens);
    const { chosen, topIds, topLogprobs } = this.#logprobs ?? { chosen: null, topIds: null, topLogprobs: null };
    for (const array of [chosen, topIds, topLogprobs]) if (array !== null) release(array);
  }
}

function samplerRow(sequence: Sequence) {
  const { sampling, prompt, output, banned, seed, logprobs, inFlight, pending } = sequence;
  // The plan has already counted the token that is being sampled now.
  const unknown = inFlight > 1;
  return {
    sampling,
    prompt,
    output,
    banned,
    seed,
    logprobs,
    position: sequence.sampledCount - 1,
    pending: unknown ? pending : null,
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

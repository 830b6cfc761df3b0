import type { Generation, GenerationChunk, GenerationRequest } from "../engine/request.ts";
import { EngineFailure } from "../errors.ts";
import type { HttpContext } from "./context.ts";
import type { Usage } from "./fields.ts";
import { interleave } from "./interleave.ts";
import { createGrouper, type OutputPiece } from "./pieces.ts";

/** The running generations behind one response: all choices of all prompts, in the order of their `index`. */
export interface Job {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly model: string;
  readonly context: HttpContext;
  readonly generations: readonly Generation[];
  /** Generations of each prompt. */
  readonly choices: number;
  /** Tokens of the prompts, each counted once. */
  readonly promptTokens: number;
  readonly includeUsage: boolean;
  readonly logprobs: boolean;
}

export interface JobOptions {
  /** What the response calls the model. */
  model: string;
  idPrefix: "chatcmpl-" | "cmpl-" | "resp_" | "msg_";
  requests: readonly GenerationRequest[];
  /** Requests of each prompt; all of them unless told. */
  choices?: number;
  promptTokens: number;
  includeUsage: boolean;
  logprobs: boolean;
  signal: AbortSignal;
}

/** Submits all of it or nothing: when one is refused, those before it are cancelled and the refusal is thrown. */
export function startJob(context: HttpContext, options: JobOptions): Job {
  return {
    id: `${options.idPrefix}${crypto.randomUUID().replaceAll("-", "")}`,
    created: Math.floor(Date.now() / 1000),
    model: options.model,
    context,
    generations: submitAll(context, options.requests, options.signal),
    choices: options.choices ?? options.requests.length,
    promptTokens: options.promptTokens,
    includeUsage: options.includeUsage,
    logprobs: options.logprobs,
  };
}

function submitAll(
  { server, caller, background }: HttpContext,
  requests: readonly GenerationRequest[],
  signal: AbortSignal,
): Generation[] {
  const generations: Generation[] = [];
  try {
    for (const request of requests) {
      const cacheSalt = `${caller}:${request.cacheSalt ?? ""}`;
      generations.push(server.submit({ ...request, cacheSalt, ...(background && { background }) }, signal));
    }
  } catch (error) {
    for (const generation of generations) generation.cancel();
    throw error;
  }
  return generations;
}

export function cancelJob(job: Job): void {
  for (const generation of job.generations) generation.cancel();
}

/** The output of all choices as it comes, with the choice's index. Throws `EngineFailure` if one stops without an end. */
export async function* readJob(job: Job, withTokens = job.logprobs): AsyncGenerator<[index: number, piece: OutputPiece]> {
  const groupers = job.generations.map(() => createGrouper(job.context.server, withTokens));
  const { log } = job.context.options;
  const started = performance.now();
  let running = job.generations.length;
  try {
    for await (const [index, chunk] of interleave<GenerationChunk>(job.generations)) {
      if (chunk.finishReason !== null) running--;
      const piece = groupers[index]!(chunk);
      if (piece !== null) yield [index, piece];
    }
    if (running > 0) throw new EngineFailure("The generation was ended before it was complete.");
  } finally {
    const { prompt_tokens: promptTokens, completion_tokens: completionTokens } = countUsage(job);
    const seconds = Math.round(performance.now() - started) / 1000;
    const cachedTokens = countCached(job);
    log({
      level: "info",
      message: "completion",
      id: job.id,
      complete: running === 0,
      promptTokens,
      cachedTokens,
      completionTokens,
      seconds,
    });
  }
}

/** The whole output of each choice. On any failure the others are cancelled. */
export async function collectJob(job: Job): Promise<OutputPiece[]> {
  const outputs: OutputPiece[] = job.generations.map(() => ({ text: "", tokens: [], finishReason: null, stopString: null }));
  try {
    for await (const [index, piece] of readJob(job)) {
      const output = outputs[index]!;
      output.text += piece.text;
      for (const token of piece.tokens) output.tokens.push(token);
      output.finishReason = piece.finishReason;
      output.stopString = piece.stopString;
    }
  } catch (error) {
    cancelJob(job);
    throw error;
  }
  return outputs;
}

export function countUsage(job: Job, reasoningTokens = 0): Usage {
  const completionTokens = job.generations.reduce((sum, generation) => sum + generation.completionTokenCount, 0);
  return {
    prompt_tokens: job.promptTokens,
    completion_tokens: completionTokens,
    total_tokens: job.promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: countCached(job) },
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  };
}

/** Of each prompt what none of its choices had to compute: one of them, whichever comes first, leaves its work to the others. */
function countCached({ generations, choices }: Job): number {
  const counts = generations.map(({ cachedTokenCount }) => cachedTokenCount);
  let sum = 0;
  for (let first = 0; first < counts.length; first += choices) sum += Math.min(...counts.slice(first, first + choices));
  return sum;
}

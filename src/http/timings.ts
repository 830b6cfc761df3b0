/** How fast an answer came, in the words of llama.cpp's server. */
import * as v from "valibot";
import { count } from "./fields.ts";
import { countUsage, type Job } from "./job.ts";

const milliseconds = v.pipe(v.number(), v.minValue(0));

export const Timings = v.pipe(
  v.object({
    cache_n: v.pipe(count, v.description("Tokens of the prompt that were computed before.")),
    prompt_n: v.pipe(count, v.description("Tokens of the prompt that had to be computed.")),
    prompt_ms: v.pipe(milliseconds, v.description("From the beginning of the computation to the first token.")),
    prompt_per_token_ms: milliseconds,
    prompt_per_second: milliseconds,
    predicted_n: v.pipe(count, v.description("Tokens of the output.")),
    predicted_ms: v.pipe(milliseconds, v.description("From the first token to the last one.")),
    predicted_per_token_ms: milliseconds,
    predicted_per_second: milliseconds,
  }),
  v.description("How long prompts and outputs took, all choices together; the time in the queue is not part of it."),
);
export type Timings = v.InferOutput<typeof Timings>;

/** Of a job that has ended. */
export function readTimings(job: Job): Timings {
  const { generations } = job;
  const usage = countUsage(job);
  const cached = usage.prompt_tokens_details.cached_tokens;
  const tokens = usage.completion_tokens;
  const moments = (name: "startedAt" | "firstTokenAt" | "lastTokenAt") => generations.flatMap(({ times }) => times[name] ?? []);
  const promptMs = span(moments("startedAt"), moments("firstTokenAt"));
  const predictedMs = span(moments("firstTokenAt"), moments("lastTokenAt"));
  const computed = usage.prompt_tokens - cached;
  // The first token of each choice is the end of its prompt.
  const later = Math.max(0, tokens - generations.length);
  return {
    cache_n: cached,
    prompt_n: computed,
    prompt_ms: round(promptMs),
    prompt_per_token_ms: ratio(promptMs, computed),
    prompt_per_second: ratio(computed * 1000, promptMs),
    predicted_n: tokens,
    predicted_ms: round(predictedMs),
    predicted_per_token_ms: ratio(predictedMs, later),
    predicted_per_second: ratio(later * 1000, predictedMs),
  };
}

function span(begins: readonly number[], ends: readonly number[]): number {
  return begins.length === 0 || ends.length === 0 ? 0 : Math.max(0, Math.max(...ends) - Math.min(...begins));
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? round(part / whole) : 0;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

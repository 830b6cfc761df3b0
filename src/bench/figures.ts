/** From single completions to the figures of a run. Milliseconds, tokens per second. */
import type { Completion } from "./stream.ts";

export interface Spread {
  p50: number;
  p99: number;
  max: number;
}

export interface Figures {
  requests: number;
  errors: number;
  firstError: string | null;
  /** Answers shorter than asked for: their figures are not comparable. */
  short: number;
  wallMs: number;
  outputTokens: number;
  tokensPerSecond: number;
  promptTokens: number | null;
  /** Time to the first piece of text; null when nothing came. */
  ttft: Spread | null;
  /** Between two pieces of text of one answer. */
  itl: Spread | null;
  latency: Spread | null;
}

/** Nearest-rank percentile, `share` from 0 to 1; NaN of nothing. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * share) - 1))] ?? Number.NaN;
}

export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null;
  return { p50: percentile(values, 0.5), p99: percentile(values, 0.99), max: percentile(values, 1) };
}

export function gapsOf(stamps: readonly number[]): number[] {
  return stamps.slice(1).map((stamp, i) => stamp - stamps[i]!);
}

/** Tokens are the server's own count; a server that gives none is counted by its pieces. */
export const tokensOf = ({ outputTokens, stamps }: Completion) => outputTokens ?? stamps.length;

export function measure(completions: readonly Completion[]): Figures {
  const answered = completions.filter(({ error }) => error === null);
  const wallMs = Math.max(...completions.map(({ end }) => end)) - Math.min(...completions.map(({ start }) => start));
  const outputTokens = answered.reduce((sum, completion) => sum + tokensOf(completion), 0);
  return {
    requests: completions.length,
    errors: completions.length - answered.length,
    firstError: completions.find(({ error }) => error !== null)?.error ?? null,
    short: answered.filter((completion) => tokensOf(completion) < completion.wanted).length,
    wallMs,
    outputTokens,
    tokensPerSecond: (outputTokens * 1000) / wallMs,
    promptTokens: spreadOf(answered.flatMap(({ promptTokens }) => promptTokens ?? []))?.p50 ?? null,
    ttft: spreadOf(answered.flatMap(({ stamps, start }) => (stamps.length > 0 ? [stamps[0]! - start] : []))),
    itl: spreadOf(answered.flatMap(({ stamps }) => gapsOf(stamps))),
    latency: spreadOf(answered.map(({ start, end }) => end - start)),
  };
}

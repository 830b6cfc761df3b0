/** Whether requests in a crowd have got what each gets alone. */
import type { Outcome } from "./stress-run.ts";
import type { StressJob } from "./stress-traffic.ts";

export interface Comparison {
  differences: unknown[];
  /** The largest difference between log-probabilities of the same token. */
  maxLogprobError: number;
}

export function compare(jobs: readonly StressJob[], alone: readonly Outcome[], crowd: readonly Outcome[]): Comparison {
  const differences: unknown[] = [];
  let maxLogprobError = 0;
  for (const [i, got] of crowd.entries()) {
    const want = alone[i]!;
    if (got.kind === "refused") continue;
    const wanted = want.kind === "answered" ? want.answer.ids : null;
    if (got.kind === "answered" && want.kind === "answered") {
      const error = Math.max(
        0,
        ...got.answer.tokens.map(({ id, logprob = 0 }, at) =>
          want.answer.tokens[at]?.id === id ? Math.abs(logprob - (want.answer.tokens[at]?.logprob ?? 0)) : 0,
        ),
      );
      maxLogprobError = Math.max(maxLogprobError, error);
      const same =
        String(got.answer.ids) === String(wanted) &&
        got.answer.text === want.answer.text &&
        got.answer.finishReason === want.answer.finishReason;
      if (!same || error > 1e-3) {
        const at = got.answer.ids.findIndex((id, n) => id !== wanted![n]);
        differences.push({
          i,
          at,
          error,
          prompt: jobs[i]!.request.promptTokens.length,
          cached: got.cachedTokens,
          got: got.answer.ids.length,
          want: wanted!.length,
          a: got.answer.tokens[at],
          b: want.answer.tokens[at],
          fin: [got.answer.finishReason, want.answer.finishReason],
          sampling: jobs[i]!.request.sampling,
        });
      }
    } else if (got.kind === "cut") {
      if (wanted && String(got.ids) !== String(wanted.slice(0, got.ids.length)))
        differences.push({ i, kind: "cut", got: got.ids, want: wanted });
    } else if (got.kind !== want.kind) differences.push({ i, got: got.kind, want: want.kind });
  }
  return { differences, maxLogprobError };
}

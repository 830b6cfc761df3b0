/** Whether requests in a crowd have got what each gets alone. */
import type { Outcome } from "./stress-run.ts";
import type { Answer } from "./tiny-chat.ts";

/** Of log-probabilities: sums are made in another order, and nothing else may differ. */
const TOLERANCE = 1e-3;

/** What a request has got in a crowd that it does not get alone; null: nothing. */
export function compare(alone: Outcome, got: Outcome): string | null {
  if (got.kind === "refused") return null;
  if (got.kind === "cut")
    return alone.kind === "answered" ? compareIds(alone.answer.ids.slice(0, got.ids.length), got.ids) : null;
  if (got.kind === "failed" || alone.kind !== "answered")
    return got.kind === alone.kind ? null : `${got.kind}, alone ${alone.kind}`;
  return compareAnswers(alone.answer, got.answer);
}

function compareAnswers(want: Answer, got: Answer): string | null {
  const ids = compareIds(want.ids, got.ids);
  if (ids !== null) return ids;
  if (got.finishReason !== want.finishReason) return `ends with ${got.finishReason}, alone with ${want.finishReason}`;
  if (got.text !== want.text) return `the text ${JSON.stringify(got.text)}, alone ${JSON.stringify(want.text)}`;
  const errors = got.tokens.map(({ logprob = 0 }, i) => Math.abs(logprob - (want.tokens[i]!.logprob ?? 0)));
  const error = Math.max(0, ...errors);
  return error < TOLERANCE ? null : `a log-probability differs by ${error} at token ${errors.indexOf(error)}`;
}

function compareIds(want: readonly number[], got: readonly number[]): string | null {
  const at = got.findIndex((id, i) => id !== want[i]);
  if (at >= 0) return `token ${at} is ${got[at]}, alone ${want[at]}`;
  return got.length === want.length ? null : `${got.length} tokens, alone ${want.length}`;
}

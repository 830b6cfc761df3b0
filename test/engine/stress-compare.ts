/** Whether requests in a crowd have got what each gets alone. */
import type { Outcome } from "./stress-run.ts";
import type { Answer } from "./tiny-chat.ts";

/** Of logits and log-probabilities: sums are made in another order, and nothing else may differ. */
export const TOLERANCE = 1e-4;

export interface Difference {
  what: string;
  /** Of the output, where rounding may be the reason; null: where it cannot. */
  token: number | null;
}

/** What a request has got in a crowd that it does not get alone; null: nothing. */
export function compare(alone: Outcome, got: Outcome): Difference | null {
  if (got.kind === "refused") return null;
  if (got.kind === "cut")
    return alone.kind === "answered" ? compareIds(alone.answer.ids.slice(0, got.ids.length), got.ids) : null;
  if (got.kind === "failed" || alone.kind !== "answered")
    return got.kind === alone.kind ? null : { what: `${got.kind}, alone ${alone.kind}`, token: null };
  return compareAnswers(alone.answer, got.answer);
}

function compareAnswers(want: Answer, got: Answer): Difference | null {
  const errors = got.tokens.map(({ id, logprob = 0 }, i) => {
    const other = want.tokens[i];
    return other?.id === id ? Math.abs(logprob - (other.logprob ?? 0)) : 0;
  });
  const wrong = errors.findIndex((error) => !(error < TOLERANCE));
  const ids = compareIds(want.ids, got.ids);
  // What comes first may be the reason for the rest.
  if (wrong >= 0 && (ids?.token ?? Number.POSITIVE_INFINITY) > wrong)
    return { what: `a log-probability differs by ${errors[wrong]} at token ${wrong}`, token: wrong };
  if (ids !== null) return ids;
  if (got.finishReason !== want.finishReason)
    return { what: `ends with ${got.finishReason}, alone with ${want.finishReason}`, token: null };
  if (got.text === want.text) return null;
  return { what: `the text ${JSON.stringify(got.text)}, alone ${JSON.stringify(want.text)}`, token: null };
}

function compareIds(want: readonly number[], got: readonly number[]): Difference | null {
  const at = got.findIndex((id, i) => i < want.length && id !== want[i]);
  if (at >= 0) return { what: `token ${at} is ${got[at]}, alone ${want[at]}`, token: at };
  return got.length === want.length ? null : { what: `${got.length} tokens, alone ${want.length}`, token: null };
}

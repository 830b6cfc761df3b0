/** Answers that are to be equal, up to decisions that rounding may take the other way. */
import { expect } from "bun:test";
import type { Answer, Question } from "./ask.ts";
import { nearTie } from "./golden.ts";

/** What `expectSameAnswer` needs of a question. */
export const comparable = { temperature: 0, logprobs: true, top_logprobs: 2 } satisfies Partial<Question>;

/** The first choices are equal, or differ from a place on where the two likeliest tokens were as good as equal. */
export function expectSameAnswer(answer: Answer, reference: Answer, what: string): void {
  const [mine, other] = [answer.choices[0]!, reference.choices[0]!];
  const at = other.tokens.findIndex(({ token }, i) => mine.tokens[i]?.token !== token);
  if (at < 0) {
    expect({ what, text: mine.text, finishReason: mine.finishReason }).toEqual({
      what,
      text: other.text,
      finishReason: other.finishReason,
    });
    return;
  }
  const [first, second] = other.tokens[at]!.top_logprobs;
  const texts = `\n${mine.text}\n${other.text}`;
  expect(first!.logprob - second!.logprob, `${what}: margin where the answers part${texts}`).toBeLessThan(nearTie);
}

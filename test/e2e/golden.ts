/** What mlx-lm answered greedily to forty conversations. */
import { expect } from "bun:test";
import golden from "../fixtures/models/tiny-chat/golden.json" with { type: "json" };
import golden4bit from "../fixtures/models/tiny-chat-4bit/golden.json" with { type: "json" };
import type { Answer, Question } from "./ask.ts";

export interface GoldenEntry {
  id: number;
  messages: object[];
  tools: object[] | null;
  template_kwargs: object;
  completion_text: string;
  completion_token_ids: number[];
  finish_reason: string;
  /** How close the closest decision was. */
  min_margin: number;
}

export const goldenEntries: readonly GoldenEntry[] = golden;
export const golden4bitEntries: readonly GoldenEntry[] = golden4bit;

/** Decisions closer than this may go either way by rounding. */
export const nearTie = 0.02;

export function questionOf({ messages, tools, template_kwargs, min_margin }: GoldenEntry): Question {
  return {
    messages: messages as Question["messages"],
    ...(tools && { tools }),
    chat_template_kwargs: template_kwargs,
    temperature: 0,
    max_tokens: 200,
    // Tells where a near-tie was.
    ...(min_margin < nearTie && { logprobs: true, top_logprobs: 2 }),
  };
}

export function expectGolden(entry: GoldenEntry, { choices, usage }: Answer): void {
  const { text, finishReason, tokens } = choices[0]!;
  if (entry.min_margin < nearTie && text !== entry.completion_text) {
    expectNearTie(entry, tokens);
    return;
  }
  expect({ id: entry.id, text, finishReason }).toEqual({
    id: entry.id,
    text: entry.completion_text,
    finishReason: entry.finish_reason,
  });
  // The end token counts.
  expect(usage?.completion_tokens).toBe(entry.completion_token_ids.length + (finishReason === "stop" ? 1 : 0));
}

/** The answer may only differ from a decision on that was close. */
function expectNearTie({ id, completion_text }: GoldenEntry, tokens: Answer["choices"][number]["tokens"]): void {
  let text = "";
  for (const { token, top_logprobs } of tokens) {
    text += token;
    if (completion_text.startsWith(text)) continue;
    expect(top_logprobs[0]!.logprob - top_logprobs[1]!.logprob, `margin in ${id} at ${JSON.stringify(text)}`).toBeLessThan(
      nearTie,
    );
    return;
  }
  // It only ended earlier or later.
  expect(text.startsWith(completion_text) || completion_text.startsWith(text)).toBe(true);
}

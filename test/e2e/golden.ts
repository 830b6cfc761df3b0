/** What mlx-lm answered greedily to forty conversations. */
import { expect } from "bun:test";
import golden from "../fixtures/models/tiny-chat/golden.json" with { type: "json" };
import golden4bit from "../fixtures/models/tiny-chat-4bit/golden.json" with { type: "json" };
import type { Answer, Choice, Question } from "./ask.ts";

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
  const { tokens, ...answer } = choices[0]!;
  const expected = partsOf(entry);
  if (entry.min_margin < nearTie && !Bun.deepEquals(answer, expected)) {
    expectNearTie(entry, tokens);
    return;
  }
  expect({ id: entry.id, ...answer }).toEqual({ id: entry.id, ...expected });
  // The end token counts.
  expect(usage?.completion_tokens).toBe(entry.completion_token_ids.length + (entry.finish_reason === "stop" ? 1 : 0));
}

/** The parts that the server tells apart in a text of tiny-chat. */
function partsOf({ completion_text, tools, finish_reason }: GoldenEntry): Omit<Choice, "tokens"> {
  const [, reasoning, said] = /^<think>\n(.*?)\n<\/think>\n\n(.*)$/s.exec(completion_text) ?? [null, "", completion_text];
  const found = tools === null ? [] : [...said!.matchAll(/<tool_call>\n(.*?)\n<\/tool_call>\n?/gs)];
  const calls = found.map(([, call]) => {
    const [, name, args] = /^\{"name": "(.*?)", "arguments": (.*)\}$/s.exec(call!)!;
    return { name: name!, arguments: args! };
  });
  const text = found.reduce((rest, [whole]) => rest.replace(whole, ""), said!);
  return { text, reasoning: reasoning!, calls, finishReason: calls.length > 0 ? "tool_calls" : finish_reason };
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

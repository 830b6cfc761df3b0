import { expect, test } from "bun:test";
import { shapeHistory } from "../../src/chat/history.ts";
import { chooseFormat } from "../../src/chat/registry.ts";

const shape = (messages: Parameters<typeof shapeHistory>[0], toolParser: string) =>
  shapeHistory(messages, chooseFormat({ template: null, toolParser, reasoningParser: null }));

const call = { id: "call_0123456789", type: "function", function: { name: "now", arguments: {} } };

test("reasoning goes under the names that templates use, of either name and only in the assistant's turns", () => {
  const [first, second, third] = shape(
    [
      { role: "assistant", content: "a", reasoning_content: "r" },
      { role: "assistant", content: "a", reasoning: "s" },
      { role: "user", content: "a", reasoning: "t" },
    ],
    "hermes",
  );
  expect(first).toEqual({ role: "assistant", content: "a", reasoning_content: "r", reasoning: "r" });
  expect(second).toEqual({ role: "assistant", content: "a", reasoning_content: "s", reasoning: "s" });
  expect(third).toEqual({ role: "user", content: "a", reasoning: "t" });
});

test("GPT-OSS: content beside calls joins the reasoning, which its template would refuse otherwise", () => {
  const [turn] = shape([{ role: "assistant", content: "Let me look.", reasoning: "Hm.", tool_calls: [call] }], "harmony");
  expect(turn).toMatchObject({ content: "", thinking: "Hm.\nLet me look." });
  const [answer] = shape([{ role: "assistant", content: "Two.", reasoning: "Hm." }], "harmony");
  expect(answer).toMatchObject({ content: "Two.", thinking: "Hm." });
});

test("a result has the name of its call unless it has one", () => {
  const messages = [
    { role: "assistant", content: "", tool_calls: [call] },
    { role: "tool", content: "12:00", tool_call_id: call.id },
    { role: "tool", content: "12:00", tool_call_id: call.id, name: "other" },
    { role: "tool", content: "12:00", tool_call_id: "unknown" },
  ];
  expect(shape(messages, "hermes").map(({ name }) => name)).toEqual([undefined, "now", "other", undefined]);
});

test.each(["mistral", "mistral_list"])("%s: ids of nine letters and digits, the same for call and result", (toolParser) => {
  const messages = [
    { role: "assistant", content: "", tool_calls: [call, { ...call, id: "abcdefgh9" }] },
    { role: "tool", content: "12:00", tool_call_id: call.id },
    { role: "tool", content: "12:00", tool_call_id: "abcdefgh9" },
  ];
  const [turn, first, second] = shape(messages, toolParser);
  const ids = (turn!.tool_calls as { id: string }[]).map(({ id }) => id);
  expect(ids[0]).toMatch(/^[0-9A-Za-z]{9}$/);
  expect(ids[1]).toBe("abcdefgh9");
  expect([first?.tool_call_id, second?.tool_call_id]).toEqual(ids);
  expect(shape(messages, "hermes")[0]?.tool_calls).toEqual(messages[0]?.tool_calls);
});

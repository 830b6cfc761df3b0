import { describe, expect, test } from "bun:test";
import type { ChatEvent } from "../../src/chat/events.ts";
import { createParser } from "../../src/chat/parser.ts";
import { chooseFormat } from "../../src/chat/registry.ts";
import { merge, parse, tools } from "./parse.ts";

const hermes = { toolParser: "hermes", reasoningParser: "think" };

function follow(pieces: readonly string[], toolParser: string): ChatEvent[][] {
  const format = chooseFormat({ template: null, toolParser, reasoningParser: "think" });
  const parser = createParser({ format, tools, prompt: "", createId: () => "id" });
  return [...pieces.map((piece) => parser.push(piece)), parser.end()];
}

describe("what comes, comes at once", () => {
  test("content, but for what may become a mark and white space before it", () => {
    expect(follow(["Hi", " the", "re. <too", "th>"], "hermes")).toEqual([
      [{ type: "content", text: "Hi" }],
      [{ type: "content", text: " the" }],
      [{ type: "content", text: "re." }],
      [{ type: "content", text: " <tooth>" }],
      [],
    ]);
  });

  test("a call: the name first, then each fragment of its arguments", () => {
    const pieces = ['<tool_call>{"name": "get_weather", "argu', 'ments": {"ci', 'ty": "Pa', 'ris"', "}}</tool_call>"];
    expect(follow(pieces, "hermes")).toEqual([
      [],
      [
        { type: "tool_call_start", index: 0, id: "id", name: "get_weather" },
        { type: "tool_call_arguments", index: 0, text: '{"ci' },
      ],
      [{ type: "tool_call_arguments", index: 0, text: 'ty": "Pa' }],
      [{ type: "tool_call_arguments", index: 0, text: 'ris"' }],
      [
        { type: "tool_call_arguments", index: 0, text: "}" },
        { type: "tool_call_end", index: 0, malformed: null },
      ],
      [],
    ]);
  });

  test("a string between tags; a number waits for its end", () => {
    const pieces = [
      "<tool_call><function=get_weather><parameter=city>",
      "Pa",
      'r"is</param',
      "eter><parameter=days>1",
      "2</parameter>",
    ];
    const texts = follow(pieces, "qwen3_coder").map((events) =>
      events.map((event) => ("text" in event ? event.text : event.type)),
    );
    expect(texts).toEqual([["tool_call_start", '{"city": '], ['"Pa'], ['r\\"is'], ['", "days": '], ["12"], ["tool_call_end"]]);
  });

  test("reasoning, and whether it goes on", () => {
    const format = chooseFormat({ template: null, toolParser: "none", reasoningParser: "think" });
    const parser = createParser({ format, tools: [], prompt: "<think>\n" });
    expect(parser.inReasoning).toBe(true);
    expect(parser.push("\nHm. ")).toEqual([{ type: "reasoning", text: "Hm." }]);
    expect(parser.push("So")).toEqual([{ type: "reasoning", text: " So" }]);
    expect([parser.push("</think>\n\nYes"), parser.inReasoning]).toEqual([[{ type: "content", text: "Yes" }], false]);
  });

  test("ids as OpenAI's, or as Mistral's templates want them", () => {
    const idOf = (toolParser: string, text: string) => {
      const format = chooseFormat({ template: null, toolParser, reasoningParser: null });
      const [start] = createParser({ format, tools, prompt: "" }).push(text);
      return start?.type === "tool_call_start" ? start.id : "";
    };
    expect(idOf("hermes", '<tool_call>{"name": "now"}')).toMatch(/^call_[0-9a-f]{24}$/);
    expect(idOf("mistral", "[TOOL_CALLS]now[ARGS]{}")).toMatch(/^[0-9A-Za-z]{9}$/);
  });
});

describe("what is no call is content", () => {
  const texts: [toolParser: string, text: string][] = [
    ["hermes", '<tool_call>{"city": "Paris"}</tool_call>'],
    ["hermes", '<tool_call>{"name": 3, "arguments": {}}</tool_call>'],
    ["hermes", '<tool_call>{"name": "now", "arguments": [1]}</tool_call>'],
    ["hermes", "<tool_call>\nnow()\n</tool_call>"],
    ["hermes", "The <tool_call> tag, and {curly} ones."],
    ["qwen3_coder", "<tool_call>\n<fun>\n</tool_call>"],
    ["qwen3_coder", "<function=>x</function>"],
    ["llama3_json", '{"name": "Alice", "parameters": {}}'],
    ["llama3_json", '{"answer": 42}'],
    ["pythonic", "[1] says [that](x)."],
    ["pythonic", "[print(x=1)]"],
    ["pythonic", "[now(1)]"],
    ["gemma3", "```python\nnow()\n```"],
    ["mistral", "[TOOL_CALLS] or [x]"],
    ["kimi_k2", "<|tool_call_begin|>now<|tool_call_end|>"],
    ["glm", "<tool_call>a b</tool_call>"],
    ["deepseek_v31", "<｜tool▁call▁begin｜>now\n{}"],
    ["minimax_m2", '<minimax:tool_call><invoke id="x"></invoke>'],
    ["gemma4", "<|tool_call>now{}<tool_call|>"],
    ["harmony", "Hello there."],
  ];
  for (const [toolParser, text] of texts) {
    test(`${toolParser}: ${text.replaceAll("\n", " ")}`, () => {
      expect(merge(parse([text], { toolParser }))).toMatchObject({ content: text, calls: [] });
    });
  }

  test("without tools, whatever it looks like", () => {
    const text = '<tool_call>{"name": "now"}</tool_call>';
    expect(merge(parse([text], { ...hermes, tools: [] }))).toMatchObject({ content: text, calls: [] });
  });

  test("but a call after it is one", () => {
    const text = 'So: <tool_call> <tool_call>{"name": "now"}</tool_call>';
    expect(merge(parse([text], hermes))).toMatchObject({ content: "So: <tool_call>", calls: [{ name: "now" }] });
  });
});

describe("a call that goes wrong keeps its text", () => {
  test("and those after it are read", () => {
    const broken = '<tool_call>{"name": "now", "arguments": {"a": oops}}</tool_call>';
    const { calls, content } = merge(parse([`${broken}\n<tool_call>{"name": "now"}</tool_call>`], hermes));
    expect(content).toBe("");
    expect(calls).toEqual([
      { name: "now", arguments: '{"a": oops}}', malformed: broken },
      { name: "now", arguments: "{}", malformed: null },
    ]);
  });

  test("within a section, too", () => {
    const good = "<|tool_call_begin|>functions.now:0<|tool_call_argument_begin|>{}<|tool_call_end|>";
    const bad = '<|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{"a" 1}<|tool_call_end|>';
    const text = `<|tool_calls_section_begin|>${good}${bad}${good}<|tool_calls_section_end|>`;
    const { calls, content } = merge(parse([text], { toolParser: "kimi_k2" }));
    expect([content, calls.map(({ malformed }) => malformed)]).toEqual(["", [null, bad, null]]);
  });

  test("when it is cut off", () => {
    const text = '<tool_call>{"name": "now", "arguments": {"a": "b';
    expect(merge(parse([text], hermes)).calls).toEqual([{ name: "now", arguments: '{"a": "b', malformed: text }]);
  });
});

import { describe, expect, test } from "bun:test";
import { chooseFormat, listFormatTokens, parserNames, requireParsers } from "../../src/chat/registry.ts";
import { StartupError } from "../../src/errors.ts";

const choose = (template: string | null, toolParser: string | null = null, reasoningParser: string | null = null) =>
  chooseFormat({ template, toolParser, reasoningParser });

/** What the families' templates have in them. */
const templates: [template: string, tools: string, reasoning: string | null][] = [
  ['{{ \'<|im_start|>\' }}<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>', "hermes", null],
  [
    "<tool_call>\n{'name': ...}\n</tool_call> {%- if enable_thinking is false %}<think>\n\n</think>{% endif %}",
    "hermes",
    "think",
  ],
  ["<tool_call>\n<function=example>\n<parameter=a>\n</parameter> <think>", "qwen3_coder", "think"],
  ['<|python_tag|> Respond in the format {"name": function name, "parameters": dictionary of argument', "llama3_json", null],
  ["<|python_tag|> [func_name1(params_name1=params_value1)]", "pythonic", null],
  ["[TOOL_CALLS] [ARGS]", "mistral", null],
  ["[TOOL_CALLS] [THINK] [/THINK]", "mistral_list", "mistral"],
  ["<atem:function_calls>", "muse_spark", null],
  ["<start_of_turn>model", "gemma3", null],
  ["<|tool_call>call: <tool_call|> <|channel>thought\n<channel|>", "gemma4", "gemma4"],
  ["<start_function_call>call:", "functiongemma", null],
  ["<tool_call>{name}<arg_key>k</arg_key><arg_value>v</arg_value></tool_call> </think>", "glm", "think"],
  ["<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>name\n```json\n", "deepseek_v3", null],
  ["<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>name<｜tool▁sep｜> </think>", "deepseek_v31", "think"],
  ["<｜DSML｜function_calls> <think>", "deepseek_v32", "think"],
  ["<|tool_calls_section_begin|> <|tool_call_begin|>", "kimi_k2", null],
  ["<minimax:tool_call> <invoke name= <think>", "minimax_m2", "think"],
  ["<tool_calls>", "minimax", null],
  ["<seed:tool_call>\n<function=example>\n<parameter=a> <seed:think>", "seed_oss", "seed_oss"],
  ["<|tool_list_start|>", "lfm2", null],
  ["<|START_ACTION|> <|START_THINKING|>", "cohere", "cohere"],
  ["<|start_of_role|> <|tool_call|>", "granite", null],
  ["<|tool|>", "phi4", null],
  ["{{ messages }}", "hermes", null],
];

describe("a template shows the family", () => {
  for (const [template, tools, reasoning] of templates) {
    test(template.replaceAll("\n", " "), () => {
      const format = choose(template);
      expect([format.whole, format.tools?.name, format.reasoning?.name ?? null]).toEqual([null, tools, reasoning]);
    });
  }

  test("harmony does both jobs", () => {
    expect(choose("<|start|>assistant<|channel|>final<|message|>")).toMatchObject({ whole: { name: "harmony" }, tools: null });
  });

  test("no template: what most models understand, and no reasoning", () => {
    expect(choose(null)).toMatchObject({ whole: null, reasoning: null, tools: { name: "hermes" } });
  });
});

describe("a choice", () => {
  test("goes before the template, and none is one", () => {
    const template = "<tool_call> <think>";
    expect(choose(template, "glm")).toMatchObject({ tools: { name: "glm" }, reasoning: { name: "think" } });
    expect(choose(template, "none", "none")).toEqual({ whole: null, tools: null, reasoning: null });
    expect(choose(template, "harmony").whole?.name).toBe("harmony");
    expect(choose("<|channel|><|message|>", "hermes", "think")).toMatchObject({ whole: null, tools: { name: "hermes" } });
  });

  test("of every name is taken, of others refused with what there is", () => {
    for (const name of parserNames.tools) {
      requireParsers({ toolParser: name, reasoningParser: "none" });
      const format = choose(null, name, "none");
      expect(format.whole?.name ?? format.tools?.name).toBe(name);
    }
    for (const name of parserNames.reasoning) {
      requireParsers({ toolParser: null, reasoningParser: name });
      const format = choose(null, "none", name);
      expect(format.whole?.name ?? format.reasoning?.name).toBe(name);
    }
    expect(new Set(parserNames.tools).size).toBe(parserNames.tools.length);
    expect(() => requireParsers({ toolParser: "herme", reasoningParser: null })).toThrow(StartupError);
    expect(() => requireParsers({ toolParser: null, reasoningParser: "x" })).toThrow(/--reasoning-parser .*think/);
  });
});

test("tokens that a format needs to see, and those that end its outputs", () => {
  expect(listFormatTokens(choose("[TOOL_CALLS][THINK]")).shown).toEqual(
    expect.arrayContaining(["[THINK]", "[/THINK]", "[ARGS]"]),
  );
  expect(listFormatTokens(choose("<|channel>thought<channel|>", "gemma4")).shown).toEqual(
    expect.arrayContaining(["<|channel>", "<channel|>", "<|tool_call>", '<|"|>']),
  );
  expect(listFormatTokens(choose("<|eom_id|>")).ends).toEqual(["<|eom_id|>"]);
  expect(listFormatTokens(choose("<|channel|><|message|>")).ends).toContain("<|call|>");
  expect(listFormatTokens(choose(null, "none", "none"))).toEqual({ shown: [], ends: [] });
});

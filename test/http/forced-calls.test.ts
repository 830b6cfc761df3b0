import { describe, expect, test } from "bun:test";
import { InvalidRequest } from "../../src/errors.ts";
import { createClient } from "./client.ts";
import { ImitationServer, script } from "./imitation-server.ts";

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [
  { type: "function", function: { name: "get_weather", parameters } },
  { type: "function", function: { name: "now", strict: true } },
];

function createFor(template: string, prompt = "") {
  const server = new ImitationServer();
  server.model = { ...server.model, chatTemplate: template };
  server.scripts = [script(["x"])];
  const { renderChat } = server;
  server.renderChat = (...args) => renderChat.apply(server, args) + prompt;
  return createClient({}, server);
}

const refusal = async (response: Response) => {
  const { error } = (await response.json()) as { error: { param: string; message: string } };
  return [response.status, error.param];
};

const begins = (format: unknown) => [...JSON.stringify(format).matchAll(/"name\\": \\"(\w+)/g)].map(([, name]) => name);

describe("a grammar is asked for", () => {
  test("with required: calls of any tool, one or several", async () => {
    const { chat, server } = createFor("<tool_call>");
    expect((await chat({ tools, tool_choice: "required" })).status).toBe(200);
    const [spec] = server.compiled;
    expect(spec).toMatchObject({
      kind: "structural_tag",
      format: { type: "tags_with_separator", at_least_one: true, stop_after_first: false },
    });
    expect(begins(spec)).toEqual(["get_weather", "now"]);
    expect(JSON.stringify(spec)).toContain(JSON.stringify(parameters));
    expect(server.submitted[0]?.request.grammar).not.toBeNull();
    await chat({ tools, tool_choice: "required", parallel_tool_calls: false });
    expect(server.compiled[1]).toMatchObject({ format: { stop_after_first: true } });
  });

  test("with a named tool: one call of it", async () => {
    const { chat, server } = createFor("<tool_call>");
    await chat({ tools, tool_choice: { type: "function", function: { name: "now" } } });
    expect(server.compiled[0]).toMatchObject({ format: { type: "tags_with_separator", stop_after_first: true } });
    expect(begins(server.compiled[0])).toEqual(["now"]);
    // The template shows all of them.
    expect(server.rendered[0]?.options?.tools).toHaveLength(2);
  });

  test("with strict tools: text in which what begins as a call becomes one", async () => {
    const { chat, server } = createFor("<tool_call>");
    await chat({ tools });
    expect(server.compiled[0]).toMatchObject({ format: { type: "triggered_tags", triggers: ["<tool_call>"] } });
    await chat({ tools: tools.slice(0, 1) });
    await chat({ tools, tool_choice: "none" });
    expect(server.compiled).toHaveLength(1);
    expect(server.submitted.slice(1).map(({ request }) => request.grammar)).toEqual([null, null]);
  });

  test("of GPT-OSS with the reasoning before the call", async () => {
    const { chat, server } = createFor("<|channel|><|message|>", "<|start|>assistant");
    await chat({ tools, tool_choice: "required" });
    const text = JSON.stringify(server.compiled[0]);
    expect(text).toContain("<|channel|>analysis<|message|>");
    expect(text).toContain("to=functions.now <|constrain|>json<|message|>");
    expect(await refusal(await chat({ tools, tool_choice: "required", thinking_budget: 5 }))).toEqual([400, "thinking_budget"]);
  });

  test("that cannot be honoured: 400 with the parameter", async () => {
    const { chat, server } = createFor("<tool_call>");
    server.grammarRefusal = new InvalidRequest("unsupported keyword");
    expect(await refusal(await chat({ tools, tool_choice: "required" }))).toEqual([400, "tools"]);
  });
});

describe("reasoning stays free", () => {
  test("before a forced call, and within its budget", async () => {
    const { chat, server } = createFor("<think>", "<think>\n");
    await chat({ tools, tool_choice: "required" });
    await chat({ thinking_budget: 2 });
    await chat({});
    const [forced, limited, plain] = server.submitted.map(({ request }) => request.grammar);
    expect(plain).toBeNull();
    const first = await forced!.matcher().next(null);
    expect(first).toEqual({ mask: null, mayEnd: false, mustEnd: false });
    const matcher = limited!.matcher();
    await matcher.next(null);
    await matcher.next(120);
    const { mask } = await matcher.next(120);
    // The end mark's first byte, a line end.
    expect(mask?.[0]).toBe(1 << 10);
  });

  test("the budget has several names, and must be a number", async () => {
    const { chat, server } = createFor("<think>", "<think>\n");
    await chat({ reasoning: { max_tokens: 0 } });
    await chat({ chat_template_kwargs: { thinking_budget: 0 } });
    for (const { request } of server.submitted) expect((await request.grammar!.matcher().next(null)).mask?.[0]).toBe(1 << 10);
    await chat({ chat_template_kwargs: { thinking_budget: -1 } });
    expect(server.submitted.at(-1)?.request.grammar).toBeNull();
    const refused = await chat({ chat_template_kwargs: { thinking_budget: "low" } });
    expect(await refusal(refused)).toEqual([400, "chat_template_kwargs.thinking_budget"]);
  });

  test("a model that does not reason, or whose prompt has ended it, has no use for it", async () => {
    for (const client of [createFor("<tool_call>"), createFor("<think>", "<think>\n\n</think>\n\n")]) {
      expect((await client.chat({ thinking_budget: 2 })).status).toBe(200);
      expect(client.server.submitted[0]?.request.grammar).toBeNull();
    }
  });
});

test("choices that fit no tool are refused", async () => {
  const { chat } = createClient();
  const named = (name: unknown) => ({ type: "function", function: { name } });
  const allowed = (name: string) => ({ type: "allowed_tools", allowed_tools: { mode: "auto", tools: [named(name)] } });
  for (const body of [
    { tool_choice: "required" },
    { tool_choice: named("now") },
    { tools, tool_choice: named("other") },
    { tools, tool_choice: "always" },
    { tools, tool_choice: allowed("other") },
  ]) {
    expect(await refusal(await chat(body))).toEqual([400, "tool_choice"]);
  }
  const malformed = await refusal(await chat({ tools, tool_choice: named(3) }));
  expect(malformed).toEqual([400, "tool_choice.function.name"]);
  expect(await refusal(await chat({ tools, tool_choice: { type: "custom" } }))).toEqual([400, "tool_choice.type"]);
  const { chat: blind } = createClient({ toolParser: "none" });
  expect(await refusal(await blind({ tools, tool_choice: "required" }))).toEqual([400, "tool_choice"]);
});

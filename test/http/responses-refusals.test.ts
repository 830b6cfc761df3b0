import { expect, test } from "bun:test";
import { EngineFailure, InvalidRequest, Overloaded } from "../../src/errors.ts";
import { createResponder, readRefusal } from "./responses-client.ts";

const input = "hi";
const tools = [{ type: "function", name: "now" }];
const format = (text: object) => ({ input, text: { format: text } });

const refused: [param: string, body: object][] = [
  ["input", {}],
  ["input", { input: [] }],
  ["input", { input: 3 }],
  ["input.0.type", { input: [{ type: "web_search_call", id: "ws_1" }] }],
  ["input.0.role", { input: [{ role: "tool", content: "a" }] }],
  ["input.0.content", { input: [{ role: "user" }] }],
  [
    "input.1.content.0.type",
    {
      input: [
        { role: "user", content: "a" },
        { role: "user", content: [{ type: "input_image", image_url: "data:," }] },
      ],
    },
  ],
  [
    "input.0.content.1.type",
    {
      input: [
        {
          role: "user",
          content: [
            { type: "input_text", text: "a" },
            { type: "input_file", file_id: "f" },
          ],
        },
      ],
    },
  ],
  ["input.0.call_id", { input: [{ type: "function_call_output", call_id: "call_1", output: "a" }] }],
  ["input.0.id", { input: [{ type: "item_reference", id: "msg_1" }] }],
  ["input.0.encrypted_content", { input: [{ type: "reasoning", summary: [], encrypted_content: "gAAAAA" }] }],
  ["input.0.encrypted_content", { input: [{ type: "compaction", encrypted_content: "gAAAAA" }] }],
  ["previous_response_id", { input, previous_response_id: "resp_1" }],
  ["conversation", { input, conversation: "conv_1" }],
  ["conversation", { input, conversation: { id: "conv_1" } }],
  ["messages", { input, messages: [] }],
  ["max_tokens", { input, max_tokens: 5 }],
  ["response_format", { input, response_format: { type: "json_object" } }],
  ["reasoning_effort", { input, reasoning_effort: "low" }],
  ["n", { input, n: 2 }],
  ["prompt", { input, prompt: { id: "pmpt_1" } }],
  ["background", { input, background: true }],
  ["context_management", { input, context_management: [{ type: "compaction" }] }],
  ["moderation", { input, moderation: {} }],
  ["tools.0.type", { input, tools: [{ type: "web_search" }] }],
  ["tools.1.type", { input, tools: [...tools, { type: "mcp", server_label: "a" }] }],
  ["tools.0.name", { input, tools: [{ type: "function" }] }],
  ["tools.1.name", { input, tools: [...tools, ...tools] }],
  ["tool_choice.type", { input, tools, tool_choice: { type: "web_search" } }],
  ["tool_choice", { input, tools, tool_choice: { type: "function", name: "other" } }],
  [
    "tool_choice",
    { input, tools, tool_choice: { type: "allowed_tools", mode: "auto", tools: [{ type: "function", name: "other" }] } },
  ],
  ["tool_choice", { input, tool_choice: "required" }],
  ["text.format.type", format({ type: "grammar" })],
  ["text.format.schema", format({ type: "json_schema", name: "a" })],
  ["text.format.name", format({ type: "json_schema", schema: {} })],
  ["text.verbosity", { input, text: { verbosity: "huge" } }],
  ["reasoning.effort", { input, reasoning: { effort: "huge" } }],
  ["reasoning.summary", { input, reasoning: { summary: "short" } }],
  ["truncation", { input, truncation: "middle" }],
  ["include.0", { input, include: ["everything"] }],
  ["max_output_tokens", { input, max_output_tokens: 0 }],
  ["top_logprobs", { input, top_logprobs: 21 }],
  ["temperature", { input, temperature: 3 }],
  ["metadata.a", { input, metadata: { a: 1 } }],
  ["metadata", { input, metadata: Object.fromEntries(Array.from({ length: 17 }, (_, key) => [`k${key}`, ""])) }],
  ["stream_options", { input, stream_options: { include_obfuscation: false } }],
  ["safety_identifier", { input, safety_identifier: "x".repeat(65) }],
];

for (const [param, body] of refused) {
  test(`400 for ${param}: ${JSON.stringify(body).slice(0, 80)}`, async () => {
    const { ask, server } = createResponder();
    for (const stream of [undefined, true]) {
      if (stream && "stream_options" in body) continue;
      expect(await readRefusal(await ask({ ...body, stream }))).toEqual([400, param]);
    }
    expect(server.submitted).toHaveLength(0);
  });
}

test("a schema that cannot be honoured is refused by the parameter's own name", async () => {
  const { ask, server } = createResponder({ template: "<tool_call>" });
  server.grammarRefusal = new InvalidRequest("unsupported keyword");
  expect(await readRefusal(await ask(format({ type: "json_schema", name: "a", schema: {} })))).toEqual([400, "text.format"]);
  expect(await readRefusal(await ask({ input, tools, tool_choice: "required" }))).toEqual([400, "tools"]);
});

test("models, keys, queues and failures are answered as everywhere", async () => {
  const { ask, server } = createResponder({ options: { apiKeys: ["key"] } });
  const key = { authorization: "Bearer key" };
  expect((await ask({ input })).status).toBe(401);
  expect(await readRefusal(await ask({ input, model: "gpt-5" }, key))).toEqual([404, "model"]);
  server.refusal = { after: 0, error: new Overloaded("full", 2) };
  const full = await ask({ input }, key);
  expect([full.status, full.headers.get("retry-after")]).toEqual([429, "2"]);
  server.refusal = null;
  server.scripts = [[{ fail: new EngineFailure("broken") }]];
  expect((await ask({ input }, key)).status).toBe(500);
});

test("what has no effect here is accepted, and null is the same as nothing", async () => {
  const { ask } = createResponder();
  const accepted = {
    ...{ service_tier: "flex", prompt_cache_key: "a", safety_identifier: "b", user: "c", max_tool_calls: 3, unknown: {} },
    ...{ text: { verbosity: "low" }, include: ["file_search_call.results"], prompt_cache_retention: "24h", background: false },
    ...{ stream: true, stream_options: { include_obfuscation: true } },
  };
  expect((await ask({ input, ...accepted })).status).toBe(200);
  const names = [
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "include",
    "store",
    "stream",
    "metadata",
    "truncation",
    "conversation",
  ];
  expect((await ask({ input, ...Object.fromEntries(names.map((name) => [name, null])) })).status).toBe(200);
});

/** What the Open Responses specification (2026-04-24) asks of a server over HTTP; its compliance suite has cases of this kind. */
import { describe, expect, test } from "bun:test";
import { script } from "./imitation-server.ts";
import { createResponder, readEvents, readRefusal, readWhole } from "./responses-client.ts";

const message = (role: string, content: unknown, rest: object = {}) => ({ type: "message", role, content, ...rest });

/** Fields that every response must have, and those of them that may not be null. */
const nullable = [
  ...["completed_at", "incomplete_details", "previous_response_id", "instructions", "error", "reasoning", "usage"],
  ...["max_output_tokens", "max_tool_calls", "safety_identifier", "prompt_cache_key"],
];
const required = [
  ...["id", "object", "created_at", "status", "model", "output", "tools", "tool_choice", "truncation", "parallel_tool_calls"],
  ...["text", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs", "temperature", "store", "background"],
  ...["service_tier", "metadata"],
];

function checkFields(response: object): void {
  for (const key of nullable) expect(response, key).toHaveProperty(key);
  for (const key of required) expect((response as Record<string, unknown>)[key] ?? null, key).not.toBeNull();
}

describe("accepted and completed", () => {
  const cases: [name: string, input: unknown[]][] = [
    ["one message", [message("user", "Greet me in three words.")]],
    ["a system message", [message("system", "You are a sailor."), message("user", "Greet me.")]],
    ["a conversation", [message("user", "I am Ada."), message("assistant", "Hello Ada."), message("user", "Who am I?")]],
    [
      "an assistant's messages with their phases",
      [
        message("assistant", "I should use the stored number.", { phase: "commentary" }),
        message("assistant", "It is nine.", { phase: "final_answer" }),
        message("user", "Say the number again."),
      ],
    ],
  ];
  for (const [name, input] of cases) {
    test(name, async () => {
      const { ask } = createResponder();
      const response = await readWhole(await ask({ model: "tiny-chat", input }));
      checkFields(response);
      expect(response.status).toBe("completed");
      expect(response.output.length).toBeGreaterThan(0);
    });
  }

  test("a stream, whose responses have all fields from the first event on", async () => {
    const { ask } = createResponder();
    const response = await ask({ model: "tiny-chat", input: [message("user", "Count to five.")], stream: true });
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    const events = await readEvents(response);
    for (const event of events) if ("response" in event) checkFields(event.response);
    expect(events.at(-1)?.type).toBe("response.completed");
  });

  test("a tool that the model calls", async () => {
    const steps = script(['<tool_call>{"name": "get_weather", "arguments": {"place": "Oslo"}}</tool_call>']);
    const { ask } = createResponder({ template: "<tool_call>", steps });
    const parameters = { type: "object", properties: { place: { type: "string" } }, required: ["place"] };
    const tools = [{ type: "function", name: "get_weather", description: "The weather of a place.", parameters }];
    const response = await readWhole(await ask({ model: "tiny-chat", input: [message("user", "Is it cold in Oslo?")], tools }));
    checkFields(response);
    expect(response.output).toMatchObject([{ type: "function_call", name: "get_weather", arguments: '{"place": "Oslo"}' }]);
    expect(Object.keys(response.tools[0]!).sort()).toEqual(["description", "name", "parameters", "strict", "type"]);
  });
});

describe("compaction", () => {
  const input = [message("user", "We meet on Friday."), message("assistant", "Friday it is.")];

  test("answers with an item to go on from, and with what it took", async () => {
    const { post } = createResponder();
    const response = await post("/v1/responses/compact", { model: "tiny-chat", prompt_cache_key: "a", input });
    const body = (await response.json()) as { object: string; created_at: number; output: { type: string }[]; usage: object };
    expect(response.status).toBe(200);
    expect(body).toMatchObject({ object: "response.compaction", output: [{ type: "compaction" }] });
    expect(body.usage).toMatchObject({ output_tokens: 12 });
  });

  test("needs the model's name", async () => {
    const { post } = createResponder();
    expect(await readRefusal(await post("/v1/responses/compact", { input }))).toEqual([400, "model"]);
  });
});

test("an image is refused: the models here read text", async () => {
  const { ask } = createResponder();
  const parts = [
    { type: "input_text", text: "What is this?" },
    { type: "input_image", image_url: "data:image/png;base64,iVBORw0KGgo=" },
  ];
  expect(await readRefusal(await ask({ input: [message("user", parts)] }))).toEqual([400, "input.0.content.1.type"]);
});

test("only tools that are allowed are called, whatever the model has been shown", async () => {
  const { ask, server } = createResponder({ template: "<tool_call>" });
  const tools = ["read", "write"].map((name) => ({ type: "function", name }));
  const tool_choice = { type: "allowed_tools", tools: [{ type: "function", name: "read" }] };
  const response = await readWhole(await ask({ input: "hi", tools, tool_choice }));
  expect(response.tool_choice).toEqual({ ...tool_choice, mode: "auto" } as never);
  expect(server.rendered[0]?.options?.tools).toHaveLength(2);
  const grammar = JSON.stringify(server.compiled[0]);
  expect([grammar.includes("read"), grammar.includes("write")]).toEqual([true, false]);
});

/** Calls, their results, reasoning and its budget, with the embedded model. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { ContinuousBatchingServer, createApp } from "mlx-cb-serve";
import * as v from "valibot";
import { ChatCompletion, ChatCompletionChunk } from "../../src/http/chat/model.ts";
import { readEvents } from "../http/client.ts";

const directory = join(import.meta.dir, "../../src/assets/tiny-chat");
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      description: "Current weather in a city",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
    },
  },
];
const question = { role: "user", content: "What is the weather in Paris?" };
const sum = { messages: [{ role: "user", content: "What is 2 + 2?" }], enable_thinking: true };

let server: ContinuousBatchingServer;
let app: ReturnType<typeof createApp>;
beforeAll(async () => {
  server = new ContinuousBatchingServer(directory, { maxBatchSize: 8 });
  await server.load();
  app = createApp(server);
});
afterAll(() => server.close());

const post = (body: object) =>
  app.handle(
    new Request("http://localhost/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ temperature: 0, max_tokens: 80, ...body }),
    }),
  );

const ask = async (body: object) => v.parse(ChatCompletion, await (await post(body)).json());

test("a call, its result, and the answer made of it", async () => {
  const { choices } = await ask({ messages: [question], tools });
  const { message, finish_reason } = choices[0]!;
  expect(finish_reason).toBe("tool_calls");
  const [call] = message.tool_calls!;
  expect([call?.function.name, JSON.parse(call!.function.arguments)]).toEqual(["get_weather", { city: "Paris" }]);
  const result = { role: "tool", tool_call_id: call!.id, content: '{"temperature": 21, "sky": "sunny"}' };
  const after = await ask({ messages: [question, message, result], tools });
  expect(after.choices[0]?.finish_reason).toBe("stop");
  expect(after.choices[0]?.message.content).toMatch(/21|sunny/);
});

test("a stream says the same in pieces, with reasoning first", async () => {
  const body = { messages: [question], tools, enable_thinking: true };
  const whole = (await ask(body)).choices[0]!.message;
  expect(whole.reasoning_content).toBeTruthy();
  const { chunks } = readEvents(await (await post({ ...body, stream: true })).text());
  const deltas = chunks.map((chunk) => v.parse(ChatCompletionChunk, chunk).choices[0]?.delta);
  const reasoning = deltas.map((delta) => delta?.reasoning_content ?? "").join("");
  const calls = deltas.flatMap((delta) => delta?.tool_calls ?? []);
  expect(reasoning).toBe(whole.reasoning_content!);
  expect(calls.length).toBeGreaterThan(2);
  expect(calls.map((call) => call.function.arguments).join("")).toBe(whole.tool_calls![0]!.function.arguments);
  expect(deltas.map((delta) => delta?.content ?? "").join("")).toBe(whole.content ?? "");
});

test("reasoning is counted, ends with its budget, and can be switched off, each request as if alone", async () => {
  const bodies = [sum, { ...sum, thinking_budget: 3 }, { ...sum, thinking_budget: 0 }, { ...sum, enable_thinking: false }];
  const together = await Promise.all(bodies.map(ask));
  const counts = together.map(({ usage }) => usage.completion_tokens_details.reasoning_tokens);
  const [full, three] = counts;
  expect(full).toBeGreaterThan(6);
  // The mark that begins it, three tokens, and the line end before the mark that ends it.
  expect(three).toBe(5);
  // Nothing but the marks.
  expect(counts.slice(2)).toEqual([2, 0]);
  for (const { choices } of together) expect(choices[0]?.message.content).toBeTruthy();
  for (const [index, body] of bodies.entries()) {
    expect((await ask(body)).choices[0]?.message).toEqual(together[index]!.choices[0]!.message);
  }
});

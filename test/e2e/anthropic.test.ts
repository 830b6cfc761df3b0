/** Anthropic's own client against the executable, with the embedded model. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import Anthropic, { AuthenticationError, BadRequestError, NotFoundError } from "@anthropic-ai/sdk";
import * as v from "valibot";
import { AnswerMessage, MessageStreamEvent, TokenCount } from "../../src/http/messages/model.ts";
import { readNamedEvents } from "../http/messages-client.ts";
import { isIdle, type Served, startServer, until } from "./serve.ts";

let server: Served;
let client: Anthropic;
beforeAll(async () => {
  server = await startServer(["--api-key", "key"]);
  client = new Anthropic({ baseURL: server.url, apiKey: "key", maxRetries: 0 });
});
afterAll(() => server.stop());

const say = (content: Anthropic.UserMessageParam["content"]): Anthropic.MessageParam => ({ role: "user", content });
const greedy: object = { temperature: 0 };
const base = { model: "tiny-chat", max_tokens: 64, ...greedy };
const france = { ...base, messages: [say("What is the capital of France?")] };
const tools: Anthropic.Tool[] = [
  {
    name: "get_weather",
    description: "Current weather in a city",
    input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
  },
];

test("a question: whole, as stream events, and by the stream helper", async () => {
  const whole = await client.messages.create(france);
  expect(whole).toMatchObject({ stop_reason: "end_turn", content: [{ type: "text", text: "The capital of France is Paris." }] });
  const { text: streamed, usage } = await readStream(france);
  expect(streamed).toBe("The capital of France is Paris.");
  expect(usage.output_tokens).toBe(whole.usage.output_tokens);
  expect(promptOf(usage)).toBe(promptOf(whole.usage));
  expect(await client.messages.stream(france).finalText()).toBe(streamed);
});

const promptOf = ({
  input_tokens,
  cache_read_input_tokens,
}: Pick<Anthropic.MessageDeltaUsage, "input_tokens" | "cache_read_input_tokens">) =>
  (input_tokens ?? 0) + (cache_read_input_tokens ?? 0);

async function readStream(body: Anthropic.MessageCreateParamsNonStreaming) {
  let text = "";
  let usage: Anthropic.MessageDeltaUsage | null = null;
  for await (const event of await client.messages.create({ ...body, stream: true })) {
    if (event.type === "content_block_delta" && event.delta.type === "text_delta") text += event.delta.text;
    if (event.type === "message_delta") usage = event.usage;
  }
  if (!usage) throw new Error("the stream has no usage");
  return { text, usage };
}

test("answers, events and counts are of their schemas and have nothing more", async () => {
  const bodies: object[] = [
    france,
    { ...france, stop_sequences: ["Paris"] },
    { ...france, max_tokens: 2 },
    { ...france, tools, thinking },
  ];
  for (const body of bodies) {
    const whole: unknown = await (await post("/v1/messages", body)).json();
    expect(v.parse(AnswerMessage, whole) as unknown).toEqual(whole);
    const events = readNamedEvents(await (await post("/v1/messages", { ...body, stream: true })).text());
    for (const event of events) expect(v.parse(MessageStreamEvent, event) as unknown).toEqual(event);
  }
  const { max_tokens: _, ...prompt } = france;
  const count: unknown = await (await post("/v1/messages/count_tokens", prompt)).json();
  expect(v.parse(TokenCount, count) as unknown).toEqual(count);
});

const thinking = { type: "enabled" as const, budget_tokens: 1024 };
const post = (path: string, body: object) =>
  fetch(server.url + path, { method: "POST", headers: { "x-api-key": "key" }, body: JSON.stringify(body) });

test("every way to end", async () => {
  const stopped = await client.messages.create({ ...france, stop_sequences: ["nothing", " Paris"] });
  expect(stopped).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: " Paris" });
  expect(stopped.content).toEqual([{ type: "text", text: "The capital of France is" }] as never);
  expect(await client.messages.create({ ...france, max_tokens: 2 })).toMatchObject({ stop_reason: "max_tokens" });
  const begun = await client.messages.create({
    ...france,
    messages: [...france.messages, { role: "assistant", content: "The capital of" }],
  });
  expect(begun.content).toEqual([{ type: "text", text: " France is Paris." }] as never);
});

describe("a tool", () => {
  test("that has to be called: its arguments satisfy the schema, whatever is asked", async () => {
    const requests = [
      { type: "tool" as const, name: "get_weather" },
      { type: "any" as const, disable_parallel_tool_use: true },
    ];
    for (const tool_choice of requests) {
      const body = { ...base, messages: [say("Tell me a story.")], tools, tool_choice };
      const streamed = await client.messages.stream(body).finalMessage();
      for (const { content, stop_reason } of [await client.messages.create(body), streamed]) {
        expect([content.length, stop_reason]).toEqual([1, "tool_use"]);
        expect(content[0]).toMatchObject({ type: "tool_use", name: "get_weather", input: { city: expect.any(String) } });
      }
    }
  });

  test("whose result is answered: thinking, call, result, answer", async () => {
    const question = say("What is the weather in Paris?");
    const body = { ...base, tools, thinking, messages: [question] };
    const first = await client.messages.create(body);
    expect(first.content.map(({ type }) => type)).toEqual(["thinking", "tool_use"]);
    const call = first.content.find((block) => block.type === "tool_use");
    expect(call?.input).toEqual({ city: "Paris" });
    const result = { type: "tool_result" as const, tool_use_id: call!.id, content: '{"temperature": 21, "sky": "sunny"}' };
    const messages = [question, { role: "assistant" as const, content: first.content }, say([result])];
    const after = await client.messages.create({ ...body, messages });
    expect(after.stop_reason).toBe("end_turn");
    expect(after.content.map((block) => (block.type === "text" ? block.text : "")).join("")).toMatch(/21|sunny/);
    const plain = await client.messages.create({ ...base, messages: [say("What is 2 + 2?")] });
    expect(plain.content.map(({ type }) => type)).toEqual(["text"]);
  });
});

test("an answer that is held to a schema", async () => {
  const schema = {
    type: "object",
    properties: { city: { enum: ["Oslo", "Rome"] } },
    required: ["city"],
    additionalProperties: false,
  };
  const body = { ...france, output_config: { format: { type: "json_schema" as const, schema } } };
  const { content } = await client.messages.create(body);
  const [block] = content;
  expect(["Oslo", "Rome"]).toContain((JSON.parse(block?.type === "text" ? block.text : "") as { city: string }).city);
});

test("tokens are counted, and the same prefix is not computed again", async () => {
  const long = "The river was wide and the boat was small. ".repeat(60);
  const asked = (header: string) => ({
    ...base,
    max_tokens: 4,
    system: [
      { type: "text" as const, text: `x-anthropic-billing-header: cch=${header};` },
      { type: "text" as const, text: long },
    ],
    messages: [say("Hello!")],
  });
  const { max_tokens: _, ...prompt } = asked("a");
  const { input_tokens } = await client.messages.countTokens(prompt);
  for (const [header, isCached] of [
    ["b", false],
    ["c", true],
  ] as const) {
    const { usage } = await client.messages.create(asked(header));
    expect(promptOf(usage)).toBe(input_tokens);
    expect((usage.cache_read_input_tokens ?? 0) > 256).toBe(isCached);
  }
});

test("errors are the client's own classes", async () => {
  const refuse = (body: object, asker = client) =>
    asker.messages.create({ ...france, ...body }).then(
      () => null,
      (error: unknown) => error,
    );
  const image = { type: "image", source: { type: "url", url: "data:," } };
  expect(await refuse({ messages: [say([image as Anthropic.ImageBlockParam])] })).toBeInstanceOf(BadRequestError);
  const unknown = await refuse({ model: "claude-opus-5" });
  expect(unknown).toBeInstanceOf(NotFoundError);
  expect((unknown as NotFoundError).message).toContain("--accept-any-model");
  const long = await refuse({ messages: [say("word ".repeat(5000))] });
  expect((long as BadRequestError).message).toContain("prompt is too long: ");
  expect(await refuse({}, new Anthropic({ baseURL: server.url, apiKey: "wrong", maxRetries: 0 }))).toBeInstanceOf(
    AuthenticationError,
  );
});

test("a client that leaves ends its generation", async () => {
  const stream = client.messages.stream({ ...base, max_tokens: 3000, messages: [say("Count from 1 to 1000, in words.")] });
  let seen = 0;
  for await (const event of stream) if (event.type === "content_block_delta" && ++seen === 3) break;
  await until(server, isIdle, 10);
  expect(seen).toBe(3);
});

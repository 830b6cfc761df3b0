/** The Responses API of the binary, through OpenAI's client. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type OpenAI from "openai";
import type { APIError } from "openai";
import { readEvents, readWhole } from "../http/responses-client.ts";
import { askWhole } from "./ask.ts";
import { goldenEntries, questionOf } from "./golden.ts";
import { isIdle, type Served, startServer, until } from "./serve.ts";

let server: Served;
beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await until(server, isIdle);
  expect(await server.stop()).toBe(0);
});

const model = "default";
const say = (content: string) => [{ role: "user" as const, content }];
const post = (body: object) => fetch(`${server.url}/v1/responses`, { method: "POST", body: JSON.stringify(body) });
const create = (body: Omit<OpenAI.Responses.ResponseCreateParamsNonStreaming, "model">) =>
  server.openai.responses.create({ model, temperature: 0, max_output_tokens: 40, ...body });

/** The client's promises are none of the kind that `rejects` takes. */
const failure = (promise: PromiseLike<unknown>) =>
  promise.then(
    () => null,
    (error: unknown) => error as APIError,
  );

test("says what chat completions say, alone and in a crowd, whole and streamed", async () => {
  const questions = goldenEntries.filter(({ tools }) => tools === null).map((entry) => questionOf(entry));
  const answers = await Promise.all(
    questions.map(async (question) => {
      const input = question.messages as OpenAI.Responses.ResponseInput;
      const { max_tokens: max_output_tokens, chat_template_kwargs } = question;
      const body = { input, max_output_tokens, ...{ chat_template_kwargs } };
      const [chat, whole, streamed] = await Promise.all([
        askWhole(server.openai, question),
        create(body),
        server.openai.responses.stream({ model, temperature: 0, ...body }).finalResponse(),
      ]);
      expect([whole.output_text, streamed.output_text]).toEqual([chat.choices[0]!.text, chat.choices[0]!.text]);
      expect(streamed.usage?.output_tokens).toBe(chat.usage!.completion_tokens);
      return whole.output_text;
    }),
  );
  expect(new Set(answers).size).toBeGreaterThan(1);
});

test("is of OpenAI's schemas and of its own, whole and streamed", async () => {
  for (const body of [
    {},
    { instructions: "You are a helpful assistant.", temperature: 1, top_p: 0.9, seed: 1 },
    { include: ["message.output_text.logprobs"], top_logprobs: 2 },
    { max_output_tokens: 2 },
    { stop: "a" },
  ]) {
    const whole = await readWhole(await post({ input: "Hello!", max_output_tokens: 20, ...body }));
    expect(whole.usage!.output_tokens).toBeLessThanOrEqual(body.max_output_tokens ?? 20);
    const events = await readEvents(await post({ input: "Hello!", max_output_tokens: 20, ...body, stream: true }));
    expect(events.at(-1)?.type).toMatch(/^response\.(completed|incomplete)$/);
  }
});

test("log-probabilities spell the text", async () => {
  const { output } = await create({ input: "Hello!", include: ["message.output_text.logprobs"], top_logprobs: 2 });
  const [message] = output;
  const [part] = message?.type === "message" ? message.content : [];
  if (part?.type !== "output_text") throw new Error("there is no text");
  expect(part.logprobs?.map(({ token }) => token).join("")).toBe(part.text);
  for (const { logprob, top_logprobs } of part.logprobs ?? []) {
    expect(logprob).toBeLessThanOrEqual(0);
    expect(top_logprobs).toHaveLength(2);
  }
});

describe("tools", () => {
  const tools: OpenAI.Responses.FunctionTool[] = [
    {
      type: "function",
      name: "get_weather",
      description: "Current weather in a city",
      parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      strict: false,
    },
  ];
  const question = say("What is the weather in Paris?");

  test("a call, its output, and the answer made of it, by items and by the response's id", async () => {
    const first = await create({ input: question, tools });
    const call = first.output.find((item) => item.type === "function_call");
    expect([call?.name, JSON.parse(call?.arguments ?? "")]).toEqual(["get_weather", { city: "Paris" }]);
    const output = {
      type: "function_call_output" as const,
      call_id: call!.call_id,
      output: '{"temperature": 21, "sky": "sunny"}',
    };
    const byId = await create({ input: [output], tools, previous_response_id: first.id });
    const byItems = await create({ input: [...question, ...first.output, output] as OpenAI.Responses.ResponseInput, tools });
    expect(byId.output_text).toMatch(/21|sunny/);
    expect(byItems.output_text).toBe(byId.output_text);
  });

  test("a stream, with reasoning first, says the same in pieces", async () => {
    const body = { model, input: question, tools, temperature: 0, max_output_tokens: 80, ...{ enable_thinking: true } };
    const whole = await server.openai.responses.create(body);
    expect(whole.output.map(({ type }) => type)).toContain("reasoning");
    expect(whole.usage!.output_tokens_details.reasoning_tokens).toBeGreaterThan(0);
    const events = await readEvents(await post({ ...body, stream: true }));
    const pieces = new Map<string, string>();
    for (const event of events) {
      if ("delta" in event) pieces.set(event.type, (pieces.get(event.type) ?? "") + event.delta);
    }
    const texts = whole.output.map((item) => {
      if (item.type === "reasoning") return item.content?.[0]?.text;
      return item.type === "function_call" ? item.arguments : undefined;
    });
    const deltas = ["response.reasoning_text.delta", "response.function_call_arguments.delta"].map((type) => pieces.get(type));
    expect(texts.filter((text) => text !== undefined)).toEqual(deltas as string[]);
  });
});

describe("a conversation", () => {
  test("goes on from a stored response as from its items", async () => {
    const first = await create({ input: "What is the capital of France?" });
    const byId = await create({ input: "And of Italy?", previous_response_id: first.id });
    const items = [...say("What is the capital of France?"), ...first.output, ...say("And of Italy?")];
    const byItems = await create({ input: items as OpenAI.Responses.ResponseInput });
    expect(byId.output_text).toBe(byItems.output_text);
    expect(byId.usage?.input_tokens).toBe(byItems.usage!.input_tokens);
    expect(byId.usage!.input_tokens).toBeGreaterThan(first.usage!.input_tokens);
    const stored = await server.openai.responses.retrieve(byId.id);
    expect(stored.output).toEqual(byId.output);
    const inputs = await server.openai.responses.inputItems.list(byId.id, { order: "asc" });
    expect(inputs.data.map((item) => ("role" in item ? item.role : ""))).toEqual(["user", "assistant", "user"]);
    await server.openai.responses.delete(byId.id);
    expect(await failure(server.openai.responses.retrieve(byId.id))).toMatchObject({ status: 404 });
  });

  test("that is too long is refused, or loses its oldest turns", async () => {
    const input = Array.from({ length: 40 }, (_, turn) => [
      { role: "user" as const, content: `${turn}. ${"word ".repeat(120)}` },
      { role: "assistant" as const, content: "Yes." },
    ]).flat();
    expect(await failure(create({ input }))).toMatchObject({ status: 400, code: "context_length_exceeded", param: "input" });
    const { usage } = await create({ input: [...input, ...say("Hello!")], truncation: "auto" });
    expect(usage!.input_tokens).toBeGreaterThan(3000);
    expect(usage!.input_tokens).toBeLessThan(4096);
  });

  test("is counted and compacted", async () => {
    const input = [...say("What is the capital of France?"), { role: "assistant" as const, content: "Paris." }];
    const { input_tokens } = await server.openai.responses.inputTokens.count({ model, input });
    expect(input_tokens).toBe((await create({ input })).usage!.input_tokens);
    const { output } = await server.openai.responses.compact({ model, input });
    const next = await create({ input: [...output, ...say("Hello!")] as OpenAI.Responses.ResponseInput });
    expect(next.usage!.input_tokens).toBeGreaterThan(input_tokens);
  });
});

test("a reader that leaves frees its place, and nothing of it is kept", async () => {
  const stream = await server.openai.responses.create({
    model,
    input: "Tell me a long story.",
    stream: true,
    ...{ ignore_eos: true, seed: 1 },
  });
  let id = "";
  for await (const event of stream) {
    if (event.type === "response.created") id = event.response.id;
    if (event.type === "response.output_text.delta") break;
  }
  await until(server, isIdle, 10);
  expect(await failure(server.openai.responses.retrieve(id))).toMatchObject({ status: 404 });
});

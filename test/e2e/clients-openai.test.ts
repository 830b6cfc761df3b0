/** OpenAI's SDK for Node, as a program would use it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type OpenAI from "openai";
import { APIUserAbortError, BadRequestError, NotFoundError } from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { say } from "./ask.ts";
import { capital, expectAbort, greeting, person, story, sum, weather, weatherTool } from "./scenario.ts";
import { type Served, startServer } from "./serve.ts";

let server: Served;
let openai: OpenAI;
beforeAll(async () => {
  server = await startServer();
  openai = server.openai;
});
afterAll(() => server.stop());

const model = "tiny-chat";
const Person = z.object({ name: z.string(), age: z.number().int(), city: z.string() });

test("chat", async () => {
  const answer = await openai.chat.completions.create({ model, messages: say(capital.question), temperature: 0 });
  expect(answer.choices[0]?.message.content).toBe(capital.answer);
  expect(answer.choices[0]?.finish_reason).toBe("stop");
  expect(answer._request_id).toStartWith("req_");
});

test("a stream, by hand and by the helper", async () => {
  let text = "";
  for await (const chunk of await openai.chat.completions.create({
    model,
    messages: say("Hello!"),
    temperature: 0,
    stream: true,
  })) {
    text += chunk.choices[0]?.delta.content ?? "";
  }
  expect(text).toBe(greeting);
  const runner = openai.chat.completions.stream({ model, messages: say("Hello!"), temperature: 0 });
  expect(await runner.finalContent()).toBe(greeting);
});

test("tools, there and back", async () => {
  const question = say(weather.question);
  const first = await openai.chat.completions.create({ model, messages: question, tools: [weatherTool], temperature: 0 });
  expect(first.choices[0]?.finish_reason).toBe("tool_calls");
  const { message } = first.choices[0]!;
  const call = message.tool_calls![0]!;
  if (call.type !== "function") throw new Error("not a function");
  expect([call.function.name, JSON.parse(call.function.arguments)]).toEqual([weather.name, weather.arguments]);
  const result = { role: "tool" as const, tool_call_id: call.id, content: JSON.stringify(weather.result) };
  const messages = [...question, message, result];
  const second = await openai.chat.completions.create({ model, messages, tools: [weatherTool], temperature: 0 });
  expect(second.choices[0]?.message.content).toBe(weather.answer);
});

test("the helper that runs tools, streamed", async () => {
  const asked: object[] = [];
  const runner = openai.chat.completions.runTools({
    model,
    messages: say(weather.question),
    temperature: 0,
    stream: true,
    tools: [
      {
        type: "function",
        function: {
          ...weatherTool.function,
          parse: (json: string) => JSON.parse(json) as object,
          function: (input: object) => {
            asked.push(input);
            return JSON.stringify(weather.result);
          },
        },
      },
    ],
  });
  expect(await runner.finalContent()).toBe(weather.answer);
  expect(asked).toEqual([weather.arguments]);
});

test("a forced call, streamed: arguments that satisfy the schema", async () => {
  const tool_choice = { type: "function" as const, function: { name: weather.name } };
  const runner = openai.chat.completions.stream({
    model,
    messages: story,
    tools: [weatherTool],
    tool_choice,
    max_tokens: 200,
    seed: 1,
  });
  const { choices } = await runner.finalChatCompletion();
  const call = choices[0]!.message.tool_calls![0]!;
  if (call.type !== "function") throw new Error("not a function");
  const city = z.object({ city: z.string(), unit: z.enum(["celsius", "fahrenheit"]).optional() });
  expect(city.safeParse(JSON.parse(call.function.arguments)).success).toBe(true);
});

test("structured output", async () => {
  const format = zodResponseFormat(Person, "person");
  const { choices } = await openai.chat.completions.parse({
    model,
    messages: say(person),
    temperature: 0,
    response_format: format,
  });
  expect(choices[0]?.message.parsed).toEqual({ name: "Maria", age: 34, city: "Oslo" });
  // The model would never say this by itself.
  const off = await openai.chat.completions.parse({ model, messages: story, seed: 2, max_tokens: 300, response_format: format });
  expect(Person.safeParse(off.choices[0]?.message.parsed).success).toBe(true);
  const any = await openai.chat.completions.create({ model, messages: story, seed: 2, response_format: { type: "json_object" } });
  expect(any.choices[0]?.finish_reason === "length" || typeof JSON.parse(any.choices[0]?.message.content ?? "")).toBe("object");
});

test("reasoning", async () => {
  const body = { model, messages: say(sum), temperature: 0, chat_template_kwargs: { enable_thinking: true } };
  const { choices, usage } = await openai.chat.completions.create(body);
  const { message } = choices[0]! as { message: { content: string; reasoning_content?: string } };
  expect(message.reasoning_content?.length).toBeGreaterThan(5);
  expect(message.content).not.toContain("think>");
  expect(usage?.completion_tokens_details?.reasoning_tokens).toBeGreaterThan(5);
});

test("responses: text, stream, a tool's round by id, structured text", async () => {
  const whole = await openai.responses.create({ model, input: capital.question, temperature: 0 });
  expect(whole.output_text).toBe(capital.answer);
  let text = "";
  for await (const event of await openai.responses.create({ model, input: "Hello!", temperature: 0, stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  expect(text).toBe(greeting);
  const tools = [{ type: "function" as const, strict: false, ...weatherTool.function }];
  const asked = await openai.responses.create({ model, input: weather.question, tools, temperature: 0 });
  const call = asked.output.find((item) => item.type === "function_call")!;
  expect(JSON.parse(call.arguments)).toEqual(weather.arguments);
  const output = { type: "function_call_output" as const, call_id: call.call_id, output: JSON.stringify(weather.result) };
  const told = await openai.responses.create({ model, previous_response_id: asked.id, input: [output], tools, temperature: 0 });
  expect(told.output_text).toBe(weather.answer);
  const parsed = await openai.responses.parse({
    model,
    input: person,
    temperature: 0,
    text: { format: zodTextFormat(Person, "person") },
  });
  expect(parsed.output_parsed).toEqual({ name: "Maria", age: 34, city: "Oslo" });
});

test("embeddings: lists of numbers, which the client asks for as bytes", async () => {
  const { data, usage } = await openai.embeddings.create({ model, input: ["one", "two"] });
  expect(data.map(({ embedding }) => embedding.length)).toEqual([192, 192]);
  expect(Math.hypot(...data[0]!.embedding)).toBeCloseTo(1, 4);
  expect(usage.total_tokens).toBeGreaterThan(1);
  const short = await openai.embeddings.create({ model, input: "one", dimensions: 8, encoding_format: "float" });
  expect(short.data[0]?.embedding).toHaveLength(8);
});

test("completions", async () => {
  const answer = await openai.completions.create({
    model,
    prompt: ["The sun", "Hello"],
    max_tokens: 4,
    temperature: 0,
    echo: true,
  });
  expect(answer.choices.map(({ text }) => text.split(" ")[0])).toEqual(["The", expect.stringMatching(/^Hello/)]);
});

test("errors are the client's own classes, with the parameter", async () => {
  const fail = (body: object) =>
    openai.chat.completions.create({ model, messages: story, ...body }).then(
      () => null,
      (error: unknown) => error,
    );
  const invalid = (await fail({ temperature: 9 })) as BadRequestError;
  expect(invalid).toBeInstanceOf(BadRequestError);
  expect(invalid.param).toBe("temperature");
  expect(await fail({ model: "gpt-5" })).toBeInstanceOf(NotFoundError);
  const cases = [
    { audio: { voice: "alloy", format: "mp3" } },
    { modalities: ["audio"] },
    { web_search_options: {} },
    { functions: [] },
  ];
  for (const body of cases) expect(((await fail(body)) as BadRequestError).param).toStartWith(Object.keys(body)[0]!);
  const long = (await fail({ messages: say("word ".repeat(6000)) })) as BadRequestError;
  expect(long.code).toBe("context_length_exceeded");
});

test("abort", async () => {
  const body = { model, messages: story, ignore_eos: true, stream: true } as const;
  await expectAbort(server, (signal) => openai.chat.completions.create(body, { signal }));
  const whole = openai.chat.completions.create({ ...body, stream: false }, { signal: AbortSignal.timeout(100) });
  expect(await whole.catch((error: unknown) => error)).toBeInstanceOf(APIUserAbortError);
});

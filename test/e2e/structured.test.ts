/** Structured output of the executable, through OpenAI's client: every way to ask for it, on every endpoint, alone and in a crowd. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type OpenAI from "openai";
import { APIError } from "openai";
import { type Answer, ask, askWhole, type Question, say } from "./ask.ts";
import { person, weather, weatherTool } from "./scenario.ts";
import { isIdle, type Served, startServer, until } from "./serve.ts";

let server: Served;
beforeAll(async () => {
  server = await startServer(["--max-batch-size", "32"]);
});
afterAll(() => server.stop());

const schema = {
  type: "object",
  properties: {
    name: { type: "string", pattern: "^[A-Z][a-z]{1,8}$" },
    age: { type: "integer", minimum: 0, maximum: 130 },
    tags: { type: "array", items: { enum: ["new", "old", "odd"] }, uniqueItems: true, maxItems: 2 },
  },
  required: ["name", "age", "tags"],
  additionalProperties: false,
};

function expectPerson(text: string): void {
  const { name, age, tags, ...rest } = JSON.parse(text) as { name: string; age: number; tags: string[] };
  expect(name).toMatch(/^[A-Z][a-z]{1,8}$/);
  expect([Number.isInteger(age), age >= 0, age <= 130, rest]).toEqual([true, true, true, {}]);
  expect(tags.every((tag, i) => ["new", "old", "odd"].includes(tag) && tags.indexOf(tag) === i)).toBe(true);
}

const pattern = "[A-Z]{2}-\\d{4}( ok)?";
const choices = ["red", "green", "dark blue"];
const grammar = 'root ::= "<" word ("," word)? ">"\nword ::= [a-f]{2,5}';
const expectPattern = (text: string) => expect(text).toMatch(/^[A-Z]{2}-\d{4}( ok)?$/);
const expectChoice = (text: string) => expect(choices).toContain(text);
const expectWords = (text: string) => expect(text).toMatch(/^<[a-f]{2,5}(,[a-f]{2,5})?>$/);
const expectObject = (text: string) => expect(JSON.parse(text)).toBeObject();

const strict = { type: "json_schema", json_schema: { name: "person", strict: true, schema } } as const;
const ways: [name: string, params: object, check: (text: string) => void][] = [
  ["json_object", { response_format: { type: "json_object" } }, expectObject],
  ["json_schema", { response_format: strict }, expectPerson],
  ["guided_json", { guided_json: JSON.stringify(schema) }, expectPerson],
  ["guided_regex", { guided_regex: pattern }, expectPattern],
  ["guided_choice", { guided_choice: choices }, expectChoice],
  ["guided_grammar", { guided_grammar: grammar }, expectWords],
  ["regex", { regex: pattern }, expectPattern],
  ["ebnf", { ebnf: grammar }, expectWords],
  ["structured_outputs.json", { structured_outputs: { json: schema } }, expectPerson],
  ["structured_outputs.regex", { structured_outputs: { regex: pattern } }, expectPattern],
  ["structured_outputs.choice", { structured_outputs: { choice: choices } }, expectChoice],
  ["structured_outputs.grammar", { structured_outputs: { grammar } }, expectWords],
  ["structured_outputs.json_object", { structured_outputs: { json_object: true } }, expectObject],
];

const jsonPrompt = { messages: say(person), max_tokens: 200 };

describe.each(ways)("%s", (name, params, check) => {
  // Nothing else makes an object of any kind end.
  const isFree = name.endsWith("json_object");

  test("chat, whole and streamed", async () => {
    for (const sampling of isFree ? [{ temperature: 0 }] : [{ temperature: 0 }, { temperature: 1, seed: 5 }]) {
      const question = { ...jsonPrompt, ...sampling, ...params } as Question;
      const whole = await askWhole(server.openai, question);
      check(whole.choices[0]!.text);
      expect(whole.choices[0]!.finishReason).toBe("stop");
      expect((await ask(server.openai, question)).choices[0]).toMatchObject(whole.choices[0]!);
    }
  });

  test("completions, whole and streamed", async () => {
    // From a plain prompt, the model may put anything into an object, without end.
    if (isFree) return expectFreeObject(params);
    const body = { model: "default", prompt: "The answer:", max_tokens: 200, temperature: 1, seed: 8, ...params };
    const whole = await server.openai.completions.create(body as OpenAI.CompletionCreateParamsNonStreaming);
    check(whole.choices[0]!.text);
    expect(whole.choices[0]!.finish_reason).toBe("stop");
    let streamed = "";
    const stream = { ...body, stream: true } as OpenAI.CompletionCreateParamsStreaming;
    for await (const event of await server.openai.completions.create(stream)) streamed += event.choices[0]?.text ?? "";
    expect(streamed).toBe(whole.choices[0]!.text);
  });
});

async function expectFreeObject(params: object): Promise<void> {
  const body = { model: "default", prompt: "JSON:", max_tokens: 40, temperature: 1, seed: 8, ...params };
  const { text, finish_reason } = (await server.openai.completions.create(body as OpenAI.CompletionCreateParamsNonStreaming))
    .choices[0]!;
  expect(text).toStartWith("{");
  if (finish_reason === "stop") expectObject(text);
}

test("text.format of responses, whole and streamed", async () => {
  const body = { model: "default", input: person, temperature: 0, max_output_tokens: 200 };
  const formats: [OpenAI.Responses.ResponseTextConfig["format"], (text: string) => void][] = [
    [{ type: "json_schema", name: "person", schema, strict: true }, expectPerson],
    [{ type: "json_object" }, expectObject],
  ];
  for (const [format, check] of formats) {
    const whole = await server.openai.responses.create({ ...body, text: { format } });
    expect(whole.status).toBe("completed");
    check(whole.output_text);
    let streamed = "";
    for await (const event of await server.openai.responses.create({ ...body, text: { format }, stream: true })) {
      if (event.type === "response.output_text.delta") streamed += event.delta;
    }
    expect(streamed).toBe(whole.output_text);
  }
});

test("a tool that has to be called gets arguments that satisfy its schema", async () => {
  const other = { type: "function" as const, function: { name: "make_person", parameters: schema } };
  const question = { messages: say("Say hello."), tools: [weatherTool, other], max_tokens: 200, temperature: 1 };
  const named = { type: "function" as const, function: { name: "make_person" } };
  for (const way of [ask, askWhole]) {
    const [forced] = (await way(server.openai, { ...question, seed: 2, tool_choice: named })).choices;
    expect([forced!.finishReason, forced!.calls.length, forced!.calls[0]!.name]).toEqual(["tool_calls", 1, "make_person"]);
    expectPerson(forced!.calls[0]!.arguments);
    // The other tool's city is a string of any length.
    const [required] = (await way(server.openai, { ...question, tools: [other], seed: 3, tool_choice: "required" })).choices;
    expect(required!.calls.length).toBeGreaterThan(0);
    expectPerson(required!.calls[0]!.arguments);
    const asked = { ...question, messages: say(weather.question), temperature: 0, tool_choice: "required" as const };
    const [call] = (await way(server.openai, asked)).choices[0]!.calls;
    expect([call!.name, JSON.parse(call!.arguments)]).toEqual([weather.name, weather.arguments]);
  }
});

test("32 masked, seeded and free requests together are answered as each alone", async () => {
  const free: Question[] = Array.from({ length: 8 }, (_, seed) => ({
    messages: say("Tell me a story."),
    temperature: seed % 4 === 0 ? 0 : 1,
    seed,
    max_tokens: 30 + 5 * seed,
  }));
  const masked = Array.from({ length: 24 }, (_, seed): Question => {
    const [name, params] = ways[seed % ways.length]!;
    return { ...jsonPrompt, ...params, temperature: name.endsWith("json_object") ? 0 : 1, seed };
  });
  const questions = masked.flatMap((question, i) => (i % 3 === 0 ? [question, free[i / 3]!] : [question]));
  expect(questions).toHaveLength(32);
  const alone: Answer[] = [];
  for (const question of questions) alone.push(await askWhole(server.openai, question));
  for (const way of [ask, askWhole]) {
    const together = await Promise.all(questions.map((question) => way(server.openai, question)));
    for (const [i, { choices: crowded }] of together.entries()) {
      expect({ i, choices: crowded }).toEqual({ i, choices: alone[i]!.choices });
    }
  }
  await until(server, isIdle);
});

test("what max_tokens cuts ends with length, and is a beginning", async () => {
  for (const way of [ask, askWhole]) {
    const question = { ...jsonPrompt, response_format: strict, temperature: 0 } as Question;
    const full = (await way(server.openai, question)).choices[0]!.text;
    const [cut] = (await way(server.openai, { ...question, max_tokens: 6 })).choices;
    expect(cut!.finishReason).toBe("length");
    expect(full).toStartWith(cut!.text);
    expect(cut!.text.length).toBeLessThan(full.length);
  }
});

test("what cannot be honoured is refused with 400, the parameter and the keyword, before any answer begins", async () => {
  const unsupported = { type: "array", items: { type: "string" }, uniqueItems: true };
  const format = { type: "json_schema", name: "x", schema: unsupported } as const;
  const post = { ...jsonPrompt, model: "default" };
  const chat = (params: object) => server.openai.chat.completions.create({ ...post, ...params });
  const refused: [param: string, request: () => Promise<unknown>, message: RegExp][] = [
    ["response_format", () => chat({ response_format: { type: "json_schema", json_schema: format } }), /'uniqueItems'/],
    [
      "response_format",
      () => chat({ response_format: { type: "json_schema", json_schema: format }, stream: true }),
      /'uniqueItems'/,
    ],
    ["guided_json", () => chat({ guided_json: { $dynamicRef: "#a" } }), /'\$dynamicRef'/],
    ["guided_regex", () => chat({ guided_regex: "(?<=a)b" }), /./],
    ["regex", () => chat({ regex: "(" }), /./],
    ["ebnf", () => chat({ ebnf: "root ::= missing" }), /missing/],
    ["structured_outputs.json", () => chat({ structured_outputs: { json: false } }), /No value satisfies/],
    ["guided_choice", () => chat({ guided_choice: [] }), /choice/],
    ["guided_regex", () => chat({ guided_json: schema, guided_regex: "a" }), /cannot be combined/],
    ["text.format", () => server.openai.responses.create({ model: "default", input: "x", text: { format } }), /'uniqueItems'/],
    [
      "response_format",
      () =>
        server.openai.completions.create({
          model: "default",
          prompt: "x",
          ...{ response_format: { type: "json_schema", json_schema: format } },
        }),
      /'uniqueItems'/,
    ],
    [
      "tools",
      () => chat({ tools: [{ type: "function", function: { name: "f", parameters: unsupported } }], tool_choice: "required" }),
      /'uniqueItems'/,
    ],
  ];
  // Where nothing is enforced, a schema is only shown to the model.
  await chat({ tools: [{ type: "function", function: { name: "f", parameters: unsupported } }], max_tokens: 3 });
  for (const [param, request, message] of refused) {
    const error = await request().then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(APIError);
    const { status, param: named, message: said } = error as APIError;
    expect({ status, named }).toEqual({ status: 400, named: param });
    expect(said).toMatch(message);
  }
});

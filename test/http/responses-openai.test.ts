import { expect, test } from "bun:test";
import { BadRequestError, NotFoundError } from "openai";
import { makeParseableTextFormat } from "openai/lib/parser";
import type { ResponseInput } from "openai/resources/responses/responses";
import { type Step, script } from "./imitation-server.ts";
import { checkPublished, createResponder } from "./responses-client.ts";

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const tools = [{ type: "function" as const, name: "get_weather", parameters, strict: true }];
const model = "tiny-chat";

test("create and stream", async () => {
  const { openai } = createResponder();
  const answer = await openai.responses.create({ model, input: "hi" });
  expect(answer.output_text).toBe("Hello world");
  expect(answer._request_id).toStartWith("req_");
  let text = "";
  for await (const event of await openai.responses.create({ model, input: "hi", stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  expect(text).toBe("Hello world");
});

test("the stream helper puts reasoning, text and calls together", async () => {
  const steps = script([
    "<think>Well",
    "</think>Yes. ",
    '<tool_call>{"name": "get_weather", ',
    '"arguments": {"city": "Rome"}}',
    "</tool_call>",
  ]);
  const { openai } = createResponder({ template: "<think><tool_call>", steps });
  const stream = openai.responses.stream({ model, input: "hi", tools });
  const pieces: string[] = [];
  stream.on("response.function_call_arguments.delta", ({ delta }) => pieces.push(delta));
  const final = await stream.finalResponse();
  expect(final.output.map(({ type }) => type)).toEqual(["reasoning", "message", "function_call"]);
  expect(final.output_text).toBe("Yes.");
  expect(pieces.join("")).toBe('{"city": "Rome"}');
  const [call] = final.output.slice(-1);
  expect(call).toMatchObject({ type: "function_call", parsed_arguments: { city: "Rome" } });
});

test("a round of tools, by items and by the response's id", async () => {
  const asks = '<tool_call>{"name": "get_weather", "arguments": {"city": "Rome"}}</tool_call>';
  const { openai, server } = createResponder({ template: "<think><tool_call>" });
  server.scripts = [script(["<think>Hm.</think>", asks]), script(["Sunny."]), script(["Sunny."])];
  const first = await openai.responses.create({ model, input: "Weather?", tools });
  const call = first.output.find((item) => item.type === "function_call")!;
  const result = { type: "function_call_output" as const, call_id: call.call_id, output: "sunny" };
  const input = [{ role: "user", content: "Weather?" }, ...first.output, result] as ResponseInput;
  await openai.responses.create({ model, tools, input });
  const last = await openai.responses.create({ model, tools, input: [result], previous_response_id: first.id });
  expect(last.output_text).toBe("Sunny.");
  const [, byItems, byId] = server.rendered.map(({ messages }) => messages);
  expect(byItems).toEqual(byId!);
  expect(byId).toEqual([
    { role: "user", content: "Weather?" },
    {
      role: "assistant",
      content: "",
      reasoning_content: "Hm.",
      reasoning: "Hm.",
      tool_calls: [{ id: call.call_id, type: "function", function: { name: "get_weather", arguments: { city: "Rome" } } }],
    },
    { role: "tool", tool_call_id: call.call_id, content: "sunny", name: "get_weather" },
  ]);
});

test("parse: an answer held to a schema", async () => {
  const { openai, server } = createResponder({ steps: script(['{"city": ', '"Rome"}']) });
  const format = makeParseableTextFormat(
    { type: "json_schema" as const, name: "place", schema: parameters, strict: true },
    (text) => JSON.parse(text) as { city: string },
  );
  const answer = await openai.responses.parse({ model, input: "hi", text: { format } });
  expect(answer.output_parsed).toEqual({ city: "Rome" });
  expect(answer.text?.format).toEqual({ type: "json_schema", name: "place", schema: parameters, strict: true });
  expect(server.compiled).toEqual([{ kind: "json_schema", schema: parameters }]);
  await openai.responses.create({ model, input: "JSON", text: { format: { type: "json_object" } } });
  expect(server.compiled.at(-1)).toEqual({ kind: "json_object" });
});

test("retrieval, pages of input, deletion, cancellation", async () => {
  const { openai } = createResponder();
  const input = ["a", "b", "c"].map((content) => ({ role: "user" as const, content }));
  const { id } = await openai.responses.create({ model, input });
  expect((await openai.responses.retrieve(id)).output_text).toBe("Hello world");
  const page = await openai.responses.inputItems.list(id, { limit: 2, order: "asc" });
  const texts: unknown[] = [];
  for await (const item of page) texts.push(item.type === "message" && item.content[0]);
  expect(texts).toEqual(["a", "b", "c"].map((text) => ({ type: "input_text", text })));
  expect(await openai.responses.cancel(id).catch((error: unknown) => error)).toBeInstanceOf(BadRequestError);
  await openai.responses.delete(id);
  for (const gone of [openai.responses.retrieve(id), openai.responses.delete(id), openai.responses.cancel(id)]) {
    expect(await gone.catch((error: unknown) => error)).toBeInstanceOf(NotFoundError);
  }
});

test("input tokens are those that an answer then counts", async () => {
  const { openai } = createResponder();
  const body = { model, input: "hi", instructions: "Be brief.", tools };
  const { input_tokens } = await openai.responses.inputTokens.count(body);
  expect(input_tokens).toBe((await openai.responses.create(body)).usage!.input_tokens);
});

test("a compacted conversation goes on from its summary", async () => {
  const { openai, server } = createResponder({ steps: script(["They spoke ", "of Rome."]) });
  const compacted = await openai.responses.compact({ model, input: [{ role: "user", content: "Rome?" }] });
  checkPublished("CompactResource", compacted);
  expect(server.rendered[0]?.messages).toMatchObject([{ content: "Rome?" }, { role: "user" }]);
  const [item] = compacted.output;
  expect(item?.type).toBe("compaction");
  if (item?.type === "compaction") await openai.responses.create({ model, input: [item, { role: "user", content: "And now?" }] });
  expect(server.rendered[1]?.messages).toEqual([
    { role: "system", content: "Summary of the conversation so far:\nThey spoke of Rome." },
    { role: "user", content: "And now?" },
  ]);
  const silent: Step[] = script([]);
  server.scripts = [silent];
  const refused: unknown = await openai.responses.compact({ model, input: "hi" }).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(BadRequestError);
});

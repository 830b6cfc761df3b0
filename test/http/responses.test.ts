import { describe, expect, test } from "bun:test";
import { APIError } from "openai";
import { EngineFailure } from "../../src/errors.ts";
import { type Step, script } from "./imitation-server.ts";
import { createResponder, readEvents, readWhole } from "./responses-client.ts";

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const weather = { type: "function" as const, name: "get_weather", parameters, strict: true };
const call = (city: string) => `<tool_call>\n{"name": "get_weather", "arguments": {"city": "${city}"}}\n</tool_call>`;

/** Each character as a token that knows its text. */
const spelled = (text: string, finishReason: "stop" | "length" = "stop"): Step[] => [
  ...[...text].map(
    (letter): Step => ({
      text: letter,
      tokens: [{ id: letter.charCodeAt(0), text: letter, logprob: -1, top: [{ id: 65, logprob: -2 }] }],
      finishReason: null,
    }),
  ),
  { text: "", tokens: [], finishReason },
];

describe("a response", () => {
  test("is OpenAI's, with every parameter as it was used", async () => {
    const { ask } = createResponder();
    const response = await readWhole(await ask({ input: "hi", instructions: "Be brief.", metadata: { a: "b" }, user: "me" }));
    expect(response).toMatchObject({
      object: "response",
      status: "completed",
      error: null,
      incomplete_details: null,
      model: "tiny-chat",
      instructions: "Be brief.",
      temperature: 0.6,
      top_p: 0.95,
      truncation: "disabled",
      metadata: { a: "b" },
      user: "me",
    });
    expect(response.id).toMatch(/^resp_\w{32}$/);
    expect(response.completed_at).toBeGreaterThanOrEqual(response.created_at);
    expect(response.output).toEqual([
      {
        id: expect.stringMatching(/^msg_\w{32}$/) as unknown as string,
        type: "message",
        status: "completed",
        role: "assistant",
        content: [{ type: "output_text", text: "Hello world", annotations: [], logprobs: [] }],
      },
    ]);
    expect(response.usage).toMatchObject({ output_tokens: 12, input_tokens_details: { cached_tokens: 0 } });
  });

  test("that reaches its limit is incomplete, and so is its last item", async () => {
    const { ask, server } = createResponder({ steps: script(["Hel"], "length") });
    const response = await readWhole(await ask({ input: "hi", max_output_tokens: 3 }));
    expect(response).toMatchObject({ status: "incomplete", completed_at: null });
    expect(response.incomplete_details).toEqual({ reason: "max_output_tokens" });
    expect(response.output.map(({ status }) => status)).toEqual(["incomplete"]);
    expect(server.submitted[0]?.request.maxTokens).toBe(3);
  });

  test("is never without an item", async () => {
    const { ask } = createResponder({ template: "<think>", steps: script(["<think>a</think>"]) });
    const { output } = await readWhole(await ask({ input: "hi" }));
    expect(output.map(({ type }) => type)).toEqual(["reasoning", "message"]);
  });

  test("takes the parameters of sampling that chat completions take", async () => {
    const { ask, server } = createResponder();
    await ask({ input: "hi", temperature: 0, top_p: 0.5, seed: 7, top_k: 3, stop: ["x"], presence_penalty: 1, cache_salt: "s" });
    expect(server.submitted[0]?.request).toMatchObject({
      sampling: { temperature: 0, topP: 0.5, seed: 7, topK: 3, presencePenalty: 1 },
      stop: ["x"],
      cacheSalt: ":s",
    });
  });
});

describe("a stream", () => {
  test("tells of reasoning, text and calls, each from its beginning to its end", async () => {
    const pieces = [
      "<think>One ",
      "two</think>",
      "Let me ",
      "look.\n<tool_call>\n",
      '{"name": "get_weather", "argu',
      'ments": {"ci',
    ];
    const steps = script([...pieces, 'ty": "Rome"}}\n</tool_call>']);
    const { ask } = createResponder({ template: "<think><tool_call>", steps });
    const events = await readEvents(await ask({ input: "hi", tools: [weather], stream: true }));
    expect(events.map(({ type }) => type.replace("response.", ""))).toEqual([
      "created",
      "in_progress",
      ...["output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta"],
      ...["reasoning_text.done", "content_part.done", "output_item.done"],
      ...["output_item.added", "content_part.added", "output_text.delta", "output_text.delta"],
      ...["output_text.done", "content_part.done", "output_item.done"],
      ...["output_item.added", "function_call_arguments.delta", "function_call_arguments.delta"],
      ...["function_call_arguments.done", "output_item.done"],
      "completed",
    ]);
    const last = events.at(-1)!;
    const output = "response" in last ? last.response.output : [];
    expect(output).toMatchObject([
      { type: "reasoning", summary: [], content: [{ type: "reasoning_text", text: "One two" }] },
      { type: "message", content: [{ text: "Let me look." }] },
      { type: "function_call", name: "get_weather", arguments: '{"city": "Rome"}', status: "completed" },
    ]);
    const done = events.flatMap((event) => (event.type === "response.output_item.done" ? [event.item] : []));
    expect(done).toEqual(output);
    // What is told of an item says which one it is.
    for (const event of events) if ("item_id" in event) expect(event.item_id).toBe(output[event.output_index]!.id);
    const created = events[0]!;
    expect("response" in created && created.response).toMatchObject({ status: "in_progress", output: [], usage: null });
  });

  test("gives reasoning as a summary, and encoded, to those who ask", async () => {
    const { ask } = createResponder({ template: "<think>", steps: script(["<think>One ", "two</think>Three"]) });
    const body = { input: "hi", reasoning: { effort: "low", summary: "auto" }, include: ["reasoning.encrypted_content"] };
    const events = await readEvents(await ask({ ...body, stream: true }));
    const types = events.map(({ type }) => type.replace("response.", ""));
    expect(types.slice(2, 8)).toEqual([
      ...["output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.delta"],
      ...["reasoning_summary_text.done", "reasoning_summary_part.done"],
    ]);
    const whole = await readWhole(await ask(body));
    expect(whole.reasoning).toEqual({ effort: "low", summary: "auto" });
    const [item] = whole.output;
    expect(item).toMatchObject({ type: "reasoning", summary: [{ type: "summary_text", text: "One two" }] });
    expect(item).not.toHaveProperty("content");
    expect(item).toHaveProperty("encrypted_content");
    expect(whole.usage?.output_tokens_details.reasoning_tokens).toBeGreaterThan(0);
  });

  test("ends with an error and a failed response when the engine fails", async () => {
    const lines: string[] = [];
    const options = { log: ({ message }: { message: string }) => void lines.push(message) };
    const steps = [...script(["a"]).slice(0, 1), { fail: new EngineFailure("The pass failed.") }];
    const { ask, openai, server } = createResponder({ steps, options });
    const events = await readEvents(await ask({ input: "hi", stream: true }));
    expect(events.slice(-2)).toMatchObject([
      { type: "error", code: "engine_failure", message: "The pass failed.", error: { type: "server_error" } },
      { type: "response.failed", response: { status: "failed", error: { code: "server_error", message: "The pass failed." } } },
    ]);
    expect(lines).toContain("stream failed");
    expect(server.submitted[0]?.cancelled).toBe(true);
    const stream = await openai.responses.create({ input: "hi", stream: true });
    const read = async () => {
      for await (const _ of stream);
    };
    const error: unknown = await read().catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(APIError);
    expect((error as APIError).message).toContain("The pass failed.");
    expect((await ask({ input: "hi" })).status).toBe(500);
  });

  test("that nobody reads any more is cancelled, and not kept", async () => {
    const lines: string[] = [];
    const options = { log: ({ message }: { message: string }) => void lines.push(message) };
    const { openai, server } = createResponder({ steps: [...script(["a"]).slice(0, 1), { waitMs: 60_000 }], options });
    const stream = await openai.responses.create({ input: "hi", stream: true });
    let id = "";
    for await (const event of stream) {
      if (event.type === "response.created") id = event.response.id;
      if (event.type === "response.output_text.delta") break;
    }
    for (let tries = 0; tries < 500 && !server.submitted[0]?.cancelled; tries++) await Bun.sleep(2);
    expect(server.submitted[0]?.cancelled).toBe(true);
    for (let tries = 0; tries < 500 && lines.length === 0; tries++) await Bun.sleep(2);
    // The line that every request has at its end.
    expect(lines).toEqual(["completion"]);
    expect(await openai.responses.retrieve(id).catch((error: unknown) => (error as APIError).status)).toBe(404);
  });
});

describe("log-probabilities", () => {
  const spell = (list: readonly { token: string }[]) => list.map(({ token }) => token).join("");

  test("are those of the text alone, in deltas and at the end", async () => {
    const steps = spelled(`<think>\nWell</think>\n\nHi there. ${call("Rome")}`);
    const { ask } = createResponder({ template: "<think><tool_call>", steps });
    const body = { input: "hi", tools: [weather], top_logprobs: 1, include: ["message.output_text.logprobs"] };
    const message = (await readWhole(await ask(body))).output.find(({ type }) => type === "message");
    const [part] = message?.type === "message" ? message.content : [];
    const whole = part?.type === "output_text" ? part.logprobs : [];
    expect(spell(whole)).toBe("Hi there.");
    expect(whole[0]).toEqual({
      token: "H",
      logprob: -1,
      bytes: [72],
      top_logprobs: [{ token: "A", logprob: -2, bytes: [65] }],
    });
    const events = await readEvents(await ask({ ...body, stream: true }));
    const deltas = events.flatMap((event) => (event.type === "response.output_text.delta" ? [event] : []));
    for (const { delta, logprobs } of deltas) expect(spell(logprobs)).toBe(delta);
    expect(deltas.flatMap(({ logprobs }) => logprobs)).toEqual(whole);
  });

  test("are asked of the engine by either parameter, and else not", async () => {
    const { ask, server } = createResponder();
    for (const body of [{}, { top_logprobs: 3 }, { include: ["message.output_text.logprobs"] }])
      await ask({ input: "hi", ...body });
    expect(server.submitted.map(({ request }) => request.logprobs)).toEqual([null, 3, 0]);
  });
});

describe("calls", () => {
  test("that were none are text in the end, whole and streamed", async () => {
    const broken = '<tool_call>{"name": "get_weather", "arguments": {"a": oops}}</tool_call>';
    const { ask } = createResponder({ template: "<tool_call>", steps: script(["Hm. ", broken]) });
    const tools = [{ ...weather, strict: false }];
    const { status, output } = await readWhole(await ask({ input: "hi", tools }));
    expect(status).toBe("completed");
    expect(output).toMatchObject([{ content: [{ text: "Hm." }] }, { content: [{ text: broken }] }]);
    const events = await readEvents(await ask({ input: "hi", tools, stream: true }));
    const last = events.at(-1)!;
    expect("response" in last && last.response.output).toMatchObject(output.map(({ type }) => ({ type })));
    const done = events.flatMap((event) => (event.type === "response.output_item.done" ? [event.item.status] : []));
    expect(done).toEqual(["completed", "incomplete", "completed"]);
  });

  test("that are cut off are incomplete", async () => {
    const { ask } = createResponder({
      template: "<tool_call>",
      steps: script([call("Rome"), call("Paris").slice(0, -20)], "length"),
    });
    const { status, output } = await readWhole(await ask({ input: "hi", tools: [weather] }));
    expect(status).toBe("incomplete");
    expect(output).toMatchObject([
      { type: "function_call", status: "completed" },
      { type: "function_call", status: "incomplete" },
    ]);
  });

  test("are offered and forced as in chat completions", async () => {
    const { ask, server } = createResponder({ template: "<tool_call>", steps: script([call("Rome")]) });
    const other = { type: "function", name: "now" };
    const begins = () => [...JSON.stringify(server.compiled.at(-1)).matchAll(/"name\\": \\"(\w+)/g)].map(([, name]) => name);
    const choose = (tool_choice: unknown) => ask({ input: "hi", tools: [weather, other], tool_choice });
    const response = await readWhole(await choose({ type: "function", name: "now" }));
    expect(response.tool_choice).toEqual({ type: "function", name: "now" });
    expect(response.tools[1]).toEqual({ type: "function", name: "now", description: null, parameters: null, strict: false });
    expect(begins()).toEqual(["now"]);
    expect(server.rendered[0]?.options?.tools).toMatchObject([
      { function: { name: "get_weather" } },
      { function: { name: "now" } },
    ]);
    const allowed = { type: "allowed_tools", mode: "auto", tools: [{ type: "function", name: "now" }] };
    expect((await readWhole(await choose(allowed))).tool_choice).toMatchObject(allowed);
    // Held to by a grammar, though no tool is strict.
    expect(server.compiled.at(-1)).toMatchObject({ format: { type: "triggered_tags" } });
    expect(begins()).toEqual(["now"]);
    await choose("none");
    expect(server.rendered.at(-1)?.options?.tools).toBeNull();
  });
});

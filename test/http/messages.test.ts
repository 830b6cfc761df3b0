import { describe, expect, test } from "bun:test";
import Anthropic, {
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from "@anthropic-ai/sdk";
import { EngineFailure, Overloaded, Unavailable } from "../../src/errors.ts";
import { origin } from "./client.ts";
import { type Step, script } from "./imitation-server.ts";
import { createScene } from "./messages-client.ts";

const input_schema = { type: "object" as const, properties: { city: { type: "string" } }, required: ["city"] };
const tools: Anthropic.Tool[] = [{ name: "get_weather", description: "The weather", input_schema }];
const callText = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>';
const enabled = { type: "enabled" as const, budget_tokens: 1024 };

test("an answer is a message", async () => {
  const { anthropic, base, server } = createScene();
  // Of the API, but no longer of the client's types.
  const sampling: object = { top_k: 3, top_p: 0 };
  const answer = await anthropic.messages.create({ ...base, ...sampling, system: "Be brief.", stop_sequences: ["x"] });
  expect(answer).toMatchObject({
    type: "message",
    role: "assistant",
    model: "tiny-chat",
    content: [{ type: "text", text: "Hello world" }],
    stop_reason: "end_turn",
    stop_sequence: null,
    usage: { input_tokens: 25, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 12 },
  });
  expect(answer.id).toStartWith("msg_");
  expect(answer._request_id).toStartWith("req_");
  expect(server.encoded.at(-1)).toEqual({ text: "<system>Be brief.<user>hi", addSpecialTokens: false });
  const { request } = server.submitted[0]!;
  expect([request.maxTokens, request.stop, request.sampling.topK]).toEqual([64, ["x"], 3]);
  expect(request.sampling.topP).toBeGreaterThan(0);
});

test("the stream helper puts the same answer together", async () => {
  const steps = script(["<think>It ", "is a", " city</think>", "I look.", callText.slice(0, 50), callText.slice(50)]);
  const { anthropic, base } = createScene({ template: "<think><tool_call>", steps });
  const body = { ...base, tools, thinking: enabled };
  const inputs: unknown[] = [];
  const stream = anthropic.messages.stream(body).on("inputJson", (_, snapshot) => inputs.push(snapshot));
  const [streamed, whole] = [await stream.finalMessage(), await anthropic.messages.create(body)];
  for (const message of [streamed, whole]) {
    expect(message.stop_reason).toBe("tool_use");
    expect(message.usage).toMatchObject({ input_tokens: 8, output_tokens_details: { thinking_tokens: 27 } });
    const [thinking, text, call] = message.content as [Anthropic.ThinkingBlock, unknown, Anthropic.ToolUseBlock];
    expect(thinking).toMatchObject({ type: "thinking", thinking: "It is a city" });
    expect(thinking.signature).toMatch(/^[\w+/]{43}=$/);
    expect(text).toMatchObject({ type: "text", text: "I look." });
    expect(call).toMatchObject({ type: "tool_use", name: "get_weather", input: { city: "Paris" } });
    expect(call.id).toMatch(/^toolu_\w{24}$/);
  }
  expect([inputs.length > 1, inputs.at(-1)]).toEqual([true, { city: "Paris" }]);
});

test("a round with a tool: what was answered is taken back", async () => {
  const steps = script(["<think>Look.</think>", "I look.", callText]);
  const { anthropic, base, server } = createScene({ template: "<think><tool_call>", steps });
  for (const display of ["summarized", "omitted"] as const) {
    const body = { ...base, tools, thinking: { ...enabled, display } };
    const first = await anthropic.messages.create(body);
    const [thinking, , call] = first.content as [Anthropic.ThinkingBlock, unknown, Anthropic.ToolUseBlock];
    expect(thinking.thinking).toBe(display === "omitted" ? "" : "Look.");
    const result = {
      type: "tool_result" as const,
      tool_use_id: call.id,
      content: "Sunny.",
      cache_control: { type: "ephemeral" as const },
    };
    const messages = [
      ...base.messages,
      { role: "assistant" as const, content: first.content },
      { role: "user" as const, content: [result] },
    ];
    await anthropic.messages.create({ ...body, messages });
    const { messages: rendered, options } = server.rendered.at(-1)!;
    expect(rendered.slice(1)).toMatchObject([
      {
        role: "assistant",
        content: "I look.",
        reasoning_content: "Look.",
        tool_calls: [{ id: call.id, type: "function", function: { name: "get_weather", arguments: { city: "Paris" } } }],
      },
      { role: "tool", content: "Sunny.", tool_call_id: call.id, name: "get_weather" },
    ]);
    expect(options?.kwargs).toMatchObject({ enable_thinking: true });
    expect(options?.tools).toEqual([
      { type: "function", function: { name: "get_weather", description: "The weather", parameters: input_schema } },
    ]);
  }
});

describe("thinking", () => {
  test("that was not asked for is switched off, and not shown where a model thinks all the same", async () => {
    const { anthropic, base, server } = createScene({ template: "<think>", steps: script(["<think>", "Hm.", "</think>Yes."]) });
    for (const thinking of [undefined, { type: "disabled" as const }]) {
      const { content, usage } = await anthropic.messages.create({ ...base, ...(thinking && { thinking }) });
      expect(content).toEqual([{ type: "text", text: "Yes." }] as never);
      expect(usage.output_tokens_details?.thinking_tokens).toBeGreaterThan(0);
      expect(server.rendered.at(-1)?.options?.kwargs).toEqual({ enable_thinking: false, thinking: false });
    }
  });

  test("is held to its budget, and effort reaches the template", async () => {
    const { anthropic, base, server } = createScene({ template: "<think>", prompt: "<think>\n" });
    await anthropic.messages.create({
      ...base,
      thinking: { type: "enabled", budget_tokens: 2 },
      output_config: { effort: "max" },
    });
    const matcher = server.submitted[0]!.request.grammar!.matcher();
    for (const token of [null, 120]) expect((await matcher.next(token)).mask).toBeNull();
    expect((await matcher.next(120)).mask?.[0]).toBe(1 << 10);
    expect(server.rendered[0]?.options?.kwargs).toMatchObject({ reasoning_effort: "high" });
    await anthropic.messages.create({ ...base, thinking: { type: "adaptive" } });
    expect(server.submitted[1]!.request.grammar).toBeNull();
  });
});

test("tools are forced and answers are held to a schema by grammars", async () => {
  const { anthropic, base, server } = createScene({ template: "<tool_call>" });
  await anthropic.messages.create({ ...base, tools, tool_choice: { type: "any" } });
  await anthropic.messages.create({ ...base, tools, tool_choice: { type: "any", disable_parallel_tool_use: true } });
  await anthropic.messages.create({ ...base, tools, tool_choice: { type: "tool", name: "get_weather" } });
  const calls = server.compiled.map((spec) => (spec.kind === "structural_tag" ? spec.format : null));
  expect(calls).toMatchObject([
    { type: "tags_with_separator", at_least_one: true, stop_after_first: false },
    { stop_after_first: true },
    { stop_after_first: true },
  ]);
  await anthropic.messages.create({ ...base, output_config: { format: { type: "json_schema", schema: input_schema } } });
  expect(server.compiled.at(-1)).toEqual({ kind: "json_schema", schema: input_schema });
  await anthropic.messages.create({ ...base, tools, tool_choice: { type: "none" } });
  expect(server.rendered.at(-1)?.options?.tools).toBeNull();
});

test("tokens are counted as a request would be", async () => {
  const { anthropic, base, server } = createScene();
  const { max_tokens: _, ...prompt } = base;
  const { input_tokens } = await anthropic.messages.countTokens({ ...prompt, system: "Be brief.", tools });
  const { usage } = await anthropic.messages.create({ ...base, system: "Be brief.", tools });
  expect([input_tokens, server.submitted.length]).toEqual([usage.input_tokens, 1]);
});

test("the models have what this client looks for, and others get OpenAI's fields alone", async () => {
  const { anthropic, send } = createScene();
  const list = await anthropic.models.list();
  expect(list.data).toMatchObject([{ type: "model", id: "tiny-chat", display_name: "tiny-chat", max_input_tokens: 4096 }]);
  expect([list.has_more, list.first_id, list.last_id]).toEqual([false, "tiny-chat", "tiny-chat"]);
  for await (const model of anthropic.models.list()) expect(new Date(model.created_at).getFullYear()).toBe(2023);
  expect((await anthropic.models.retrieve("default")).type).toBe("model");
  expect(await (await send("/v1/models")).json()).not.toHaveProperty("has_more");
});

test("errors are the client's own classes, with ids", async () => {
  const { anthropic, base, server, app } = createScene({ options: { apiKeys: ["key"] } });
  const failure = async (body: object, client = anthropic) => {
    const error: unknown = await client.messages.create({ ...base, ...body }).catch((reason: unknown) => reason);
    if (!(error instanceof Anthropic.APIError)) throw error;
    expect(error.requestID).toStartWith("req_");
    expect(error.error).toMatchObject({ type: "error", request_id: error.requestID });
    return error;
  };
  const refused = await failure({ temperature: 1.5 });
  expect([refused instanceof BadRequestError, refused.type]).toEqual([true, "invalid_request_error"]);
  const missing = await failure({ model: "claude-opus-5" });
  expect([missing instanceof NotFoundError, missing.type]).toEqual([true, "not_found_error"]);
  expect(missing.message).toContain("--accept-any-model");
  const fetch = async (url: string | URL | Request, init?: RequestInit) => app.handle(new Request(url.toString(), init));
  const stranger = new Anthropic({ baseURL: origin, apiKey: null, authToken: "wrong", maxRetries: 0, fetch });
  expect(await failure({}, stranger)).toBeInstanceOf(AuthenticationError);
  const long = await failure({ messages: [{ role: "user", content: "x".repeat(5000) }] });
  expect(long.message).toContain("prompt is too long: 5006 tokens > 4096 maximum");
  server.refusal = { after: 0, error: new Overloaded("full", 2) };
  const full = await failure({});
  expect([full instanceof RateLimitError, full.type, full.headers?.get("retry-after")]).toEqual([true, "rate_limit_error", "2"]);
  server.refusal = { after: 0, error: new Unavailable("stopping") };
  const stopping = await failure({});
  expect([stopping instanceof InternalServerError, stopping.status, stopping.type]).toEqual([true, 529, "overloaded_error"]);
  server.refusal = null;
  server.scripts = [[{ fail: new EngineFailure("The pass failed.") }]];
  const failed = await failure({});
  expect([failed.status, failed.type]).toEqual([500, "api_error"]);
});

test("any name is served where any is accepted", async () => {
  const { anthropic, base } = createScene({ options: { acceptAnyModel: true } });
  expect((await anthropic.messages.create({ ...base, model: "claude-opus-5" })).model).toBe("tiny-chat");
});

test("a failure in mid-stream reaches the client, and abort cancels", async () => {
  const begun: Step[] = script(["a"]).slice(0, 1);
  const { anthropic, base, server } = createScene({ steps: [...begun, { fail: new EngineFailure("The pass failed.") }] });
  const error: unknown = await anthropic.messages
    .stream(base)
    .finalMessage()
    .catch((reason: unknown) => reason);
  if (!(error instanceof Anthropic.APIError)) throw error;
  expect(error.type).toBe("api_error");
  server.scripts = [[...begun, { waitMs: 60_000 }]];
  for await (const event of anthropic.messages.stream(base)) if (event.type === "content_block_delta") break;
  for (let tries = 0; tries < 500 && !server.submitted[1]?.cancelled; tries++) await Bun.sleep(4);
  expect(server.submitted[1]?.cancelled).toBe(true);
});

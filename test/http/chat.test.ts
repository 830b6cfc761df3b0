import { expect, test } from "bun:test";
import * as v from "valibot";
import { ChatCompletion, ChatCompletionChunk } from "../../src/http/chat/model.ts";
import { createClient, readEvents } from "./client.ts";
import { endToken, script } from "./imitation-server.ts";

test("an answer parses by its own schema and says what OpenAI's says", async () => {
  const { chat, server } = createClient({ version: "1.2.3" });
  const response = await chat({ model: "default" });
  expect(response.status).toBe(200);
  const answer = v.parse(ChatCompletion, await response.json());
  expect(answer.id).toStartWith("chatcmpl-");
  expect(answer.model).toBe("tiny-chat");
  expect(answer.system_fingerprint).toContain("1.2.3");
  expect(answer.choices).toEqual([
    { index: 0, message: { role: "assistant", content: "Hello world", refusal: null }, logprobs: null, finish_reason: "stop" },
  ]);
  expect(answer.usage).toMatchObject({ prompt_tokens: 8, completion_tokens: 12, total_tokens: 20 });
  expect(server.encoded).toEqual([{ text: "<user>hi", addSpecialTokens: false }]);
});

test("a stream: role first, one [DONE], usage in the last chunk only, all chunks valid", async () => {
  const { chat } = createClient();
  const response = await chat({ stream: true, stream_options: { include_usage: true } });
  expect(response.headers.get("content-type")).toStartWith("text/event-stream");
  expect(response.headers.get("cache-control")).toBe("no-cache");
  expect(response.headers.get("x-accel-buffering")).toBe("no");
  const { events, chunks } = readEvents(await response.text());
  expect(events.filter((data) => data === "[DONE]")).toHaveLength(1);
  expect(events.at(-1)).toBe("[DONE]");
  const parsed = chunks.map((chunk) => v.parse(ChatCompletionChunk, chunk));
  expect(new Set(parsed.map(({ id, created }) => `${id} ${created}`)).size).toBe(1);
  const deltas: unknown[] = parsed.map(({ choices }) => choices[0]?.delta);
  expect(deltas).toEqual([
    { role: "assistant", content: "", refusal: null },
    { content: "Hello" },
    { content: " world" },
    {},
    undefined,
  ]);
  const ends: unknown[] = parsed.map(({ choices }) => choices[0]?.finish_reason);
  expect(ends).toEqual([null, null, null, "stop", undefined]);
  expect(parsed.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
  expect(parsed.at(-1)?.usage).toMatchObject({ prompt_tokens: 8, completion_tokens: 12, total_tokens: 20 });
});

test("without include_usage no chunk has usage", async () => {
  const { chat } = createClient();
  const { chunks } = readEvents(await (await chat({ stream: true })).text());
  expect(chunks.some((chunk) => "usage" in chunk)).toBe(false);
});

test("n choices come interleaved by index, with seeds of their own", async () => {
  const { chat, server } = createClient();
  server.scripts = [script(["a", "b"]), [{ waitMs: 20 }, ...script(["c"], "length")], script(["d"])];
  const { chunks } = readEvents(await (await chat({ n: 3, stream: true, seed: 5 })).text());
  const texts = ["", "", ""];
  const ends = ["", "", ""];
  for (const chunk of chunks.map((chunk) => v.parse(ChatCompletionChunk, chunk))) {
    const choice = chunk.choices[0]!;
    texts[choice.index] += choice.delta.content ?? "";
    ends[choice.index] += choice.finish_reason ?? "";
  }
  expect(texts).toEqual(["ab", "c", "d"]);
  expect(ends).toEqual(["stop", "length", "stop"]);
  expect(server.submitted.map(({ request }) => request.sampling.seed)).toEqual([5, 6, 7]);
  const whole = v.parse(ChatCompletion, await (await chat({ n: 2 })).json());
  expect(whole.choices.map(({ index }) => index)).toEqual([0, 1]);
});

test("max_tokens 0 gives an empty answer that ended by length", async () => {
  const { chat } = createClient();
  const answer = v.parse(ChatCompletion, await (await chat({ max_tokens: 0 })).json());
  expect(answer.choices[0]).toMatchObject({ message: { content: "" }, finish_reason: "length" });
  expect(answer.usage.completion_tokens).toBe(0);
});

test("sampling defaults are the model's, and null means absent", async () => {
  const { chat, server } = createClient();
  await chat({ temperature: null, stop: null, n: null, stream: null, logit_bias: null, tools: null });
  expect(server.submitted[0]?.request).toMatchObject({
    maxTokens: null,
    stop: [],
    logprobs: null,
    minTokens: 0,
    ignoreEos: false,
    sampling: { temperature: 0.6, topP: 0.95, topK: 20, minP: 0.01, repetitionPenalty: 1.1, seed: null, presencePenalty: 0 },
  });
  expect(server.submitted[0]?.request.sampling).toMatchObject({ typicalP: 1, topNSigma: 0, xtc: null, dry: null });
});

test("every parameter reaches the engine", async () => {
  const { chat, server } = createClient();
  const response = await chat({
    max_tokens: 5,
    max_completion_tokens: 7,
    temperature: 0,
    top_p: 0.5,
    top_k: -1,
    min_p: 0.2,
    repetition_penalty: 1.3,
    repetition_context_size: 64,
    presence_penalty: -1,
    presence_context_size: 20,
    frequency_penalty: 2,
    frequency_context_size: 30,
    typical_p: 0.7,
    top_n_sigma: -1,
    xtc_probability: 0.5,
    dry_multiplier: 0.8,
    dry_allowed_length: 3,
    dry_sequence_breakers: ["\n", "\ud800"],
    logit_bias: { "3": -100, "511": 1.5 },
    seed: -4,
    stop: ["x", "\ud800y"],
    stop_token_ids: [9],
    ignore_eos: true,
    min_tokens: 2,
    logprobs: true,
    top_logprobs: 3,
    some_unknown_field: { a: 1 },
  });
  expect(response.status).toBe(200);
  expect(server.submitted[0]?.request).toMatchObject({
    maxTokens: 7,
    stop: ["x", "\ufffdy"],
    stopTokenIds: [9],
    ignoreEos: true,
    minTokens: 2,
    logprobs: 3,
    sampling: {
      temperature: 0,
      topP: 0.5,
      topK: 0,
      minP: 0.2,
      repetitionPenalty: 1.3,
      repetitionContextSize: 64,
      presencePenalty: -1,
      presenceContextSize: 20,
      frequencyPenalty: 2,
      frequencyContextSize: 30,
      typicalP: 0.7,
      topNSigma: 0,
      xtc: { probability: 0.5, threshold: 0.1 },
      dry: { multiplier: 0.8, base: 1.75, allowedLength: 3, range: 0, sequenceBreakers: ["\n", "\ufffd"] },
      seed: -4,
    },
  });
  expect(server.submitted[0]?.request.sampling.logitBias).toEqual(
    new Map([
      [3, -100],
      [511, 1.5],
    ]),
  );
});

test("messages, tools and template variables are brought into the template's shape", async () => {
  const { chat, server } = createClient();
  const tools = [{ type: "function", function: { name: "add", parameters: {} } }];
  const call = { id: "1", type: "function", function: { name: "add", arguments: '{"a":1}' } };
  const messages = [
    {
      role: "developer",
      content: [
        { type: "text", text: "be " },
        { type: "text", text: "brief" },
      ],
    },
    { role: "user", content: "1+1 \ud83d" },
    { role: "assistant", content: null, tool_calls: [call] },
    { role: "tool", content: "2", tool_call_id: "1" },
    { role: "function", name: "f", content: "3" },
  ];
  const body = { messages, tools, reasoning_effort: "low", chat_template_kwargs: { enable_thinking: false } };
  expect((await chat(body)).status).toBe(200);
  const { messages: rendered, options } = server.rendered[0]!;
  expect(rendered.map(({ role, content }) => [role, content])).toEqual([
    ["system", "be brief"],
    ["user", "1+1 \ud83d"],
    ["assistant", ""],
    ["tool", "2"],
    ["tool", "3"],
  ]);
  expect(rendered[2]?.tool_calls).toEqual([{ ...call, function: { name: "add", arguments: { a: 1 } } }]);
  expect(options).toEqual({ tools, kwargs: { enable_thinking: false, reasoning_effort: "low" } });
  expect(server.encoded[0]?.text.isWellFormed()).toBe(true);
  await chat({ tools, tool_choice: "none" });
  expect(server.rendered[1]?.options?.tools).toBeNull();
});

test("logprobs spell the text: end tokens, stop strings and infinities are dealt with", async () => {
  const { chat, server } = createClient();
  server.scripts = [
    [
      { text: "", tokens: [{ id: 0xc3, logprob: -0.5, top: [{ id: 0xc3, logprob: -0.5 }] }], finishReason: null },
      { text: "é", tokens: [{ id: 0xa9, logprob: Number.NEGATIVE_INFINITY, top: [] }], finishReason: null },
      { text: "", tokens: [{ id: 0x53, logprob: -1 }], finishReason: null },
      { text: "", tokens: [{ id: endToken, logprob: -2 }], finishReason: "stop" },
    ],
  ];
  const expected = [
    { token: "\ufffd", logprob: -0.5, bytes: [0xc3], top_logprobs: [{ token: "\ufffd", logprob: -0.5, bytes: [0xc3] }] },
    { token: "\ufffd", logprob: -9999, bytes: [0xa9], top_logprobs: [] },
  ];
  const answer = v.parse(ChatCompletion, await (await chat({ logprobs: true, top_logprobs: 1 })).json());
  expect(answer.choices[0]?.logprobs).toEqual({ content: expected, refusal: null });
  const { chunks } = readEvents(await (await chat({ logprobs: true, stream: true })).text());
  const streamed = chunks.flatMap((chunk) => v.parse(ChatCompletionChunk, chunk).choices[0]?.logprobs?.content ?? []);
  expect(streamed).toEqual(expected);
});

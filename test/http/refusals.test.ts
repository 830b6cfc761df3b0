import { expect, test } from "bun:test";
import * as v from "valibot";
import { ErrorBody } from "../../src/http/fields.ts";
import { createClient } from "./client.ts";

const user = { role: "user", content: "hi" };

async function expectRefusal(response: Response, status: number, param: string | null) {
  const text = await response.text();
  expect(response.status, text).toBe(status);
  expect(response.headers.get("content-type")).toStartWith("application/json");
  expect(response.headers.get("x-request-id")).toBeString();
  const { error } = v.parse(ErrorBody, JSON.parse(text));
  expect(error.param).toBe(param);
  return error;
}

const chatRefusals: [body: Record<string, unknown>, param: string][] = [
  [{ messages: undefined }, "messages"],
  [{ messages: null }, "messages"],
  [{ messages: [] }, "messages"],
  [{ messages: {} }, "messages"],
  [{ messages: [5] }, "messages.0"],
  [{ messages: [{ role: "robot", content: "x" }] }, "messages.0.role"],
  [{ messages: [user, { role: "user" }] }, "messages.1.content"],
  [{ messages: [{ role: "user", content: null }] }, "messages.0.content"],
  [{ messages: [{ role: "user", content: 5 }] }, "messages.0.content"],
  [{ messages: [{ role: "user", content: [{ type: "text" }] }] }, "messages.0.content.0.text"],
  [{ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] }, "messages.0.content.0.type"],
  [{ messages: [{ role: "user", content: [{ type: "input_audio" }] }] }, "messages.0.content.0.type"],
  [{ temperature: -0.1 }, "temperature"],
  [{ temperature: 2.1 }, "temperature"],
  [{ temperature: "hot" }, "temperature"],
  [{ top_p: 0 }, "top_p"],
  [{ top_p: 1.01 }, "top_p"],
  [{ top_k: 1.5 }, "top_k"],
  [{ min_p: 2 }, "min_p"],
  [{ repetition_penalty: 0 }, "repetition_penalty"],
  [{ presence_penalty: 3 }, "presence_penalty"],
  [{ frequency_penalty: -3 }, "frequency_penalty"],
  [{ presence_context_size: 0 }, "presence_context_size"],
  [{ frequency_context_size: 2.5 }, "frequency_context_size"],
  [{ typical_p: 0 }, "typical_p"],
  [{ typical_p: 1.1 }, "typical_p"],
  [{ top_n_sigma: 101 }, "top_n_sigma"],
  [{ xtc_probability: 1.01 }, "xtc_probability"],
  [{ xtc_threshold: 0.6 }, "xtc_threshold"],
  [{ xtc_threshold: -0.1 }, "xtc_threshold"],
  [{ dry_multiplier: -1 }, "dry_multiplier"],
  [{ dry_base: 0.5 }, "dry_base"],
  [{ dry_allowed_length: 0 }, "dry_allowed_length"],
  [{ dry_range: -1 }, "dry_range"],
  [{ dry_sequence_breakers: [""] }, "dry_sequence_breakers.0"],
  [{ dry_sequence_breakers: Array(33).fill("a") }, "dry_sequence_breakers"],
  [{ dry_sequence_breakers: 5 }, "dry_sequence_breakers"],
  [{ max_tokens: -1 }, "max_tokens"],
  [{ max_tokens: 1.5 }, "max_tokens"],
  [{ max_tokens: "5" }, "max_tokens"],
  [{ max_completion_tokens: -1 }, "max_completion_tokens"],
  [{ n: 0 }, "n"],
  [{ n: 17 }, "n"],
  [{ n: 1000000000 }, "n"],
  [{ stop: "" }, "stop"],
  [{ stop: ["a", ""] }, "stop.1"],
  [{ stop: Array(17).fill("a") }, "stop"],
  [{ stop: 5 }, "stop"],
  [{ seed: 1.5 }, "seed"],
  [{ logit_bias: { a: 1 } }, "logit_bias"],
  [{ logit_bias: { "512": 1 } }, "logit_bias"],
  [{ logit_bias: { "-1": 1 } }, "logit_bias"],
  [{ logit_bias: { "1": 101 } }, "logit_bias.1"],
  [{ logprobs: 5 }, "logprobs"],
  [{ top_logprobs: 3 }, "top_logprobs"],
  [{ logprobs: true, top_logprobs: 21 }, "top_logprobs"],
  [{ stream: "yes" }, "stream"],
  [{ stream: true, stream_options: { include_usage: 1 } }, "stream_options.include_usage"],
  [{ tools: [{ type: "function" }] }, "tools.0.function"],
  [{ tool_choice: "required" }, "tool_choice"],
  [{ tool_choice: { type: "function", function: { name: "f" } } }, "tool_choice"],
  [{ response_format: { type: "yaml" } }, "response_format.type"],
  [{ response_format: "json" }, "response_format"],
  [{ response_format: { type: "json_schema" } }, "response_format.json_schema"],
  [{ response_format: { type: "json_object" }, guided_regex: "a" }, "guided_regex"],
  [{ regex: "a", structured_outputs: { json_object: true } }, "structured_outputs.json_object"],
  [{ guided_choice: [] }, "guided_choice"],
  [{ chat_template_kwargs: 5 }, "chat_template_kwargs"],
  [{ prompt: "a" }, "prompt"],
  [{ suffix: "a" }, "suffix"],
  [{ echo: true }, "echo"],
  [{ best_of: 2 }, "best_of"],
  [{ mirostat: 1 }, "mirostat"],
  [{ no_repeat_ngram_size: 3 }, "no_repeat_ngram_size"],
  [{ bad_words: ["a"] }, "bad_words"],
  [{ allowed_token_ids: [1] }, "allowed_token_ids"],
  [{ include_stop_str_in_output: true }, "include_stop_str_in_output"],
  [{ grammar: "root ::= x" }, "grammar"],
  [{ stop_token_ids: [-1] }, "stop_token_ids.0"],
  [{ model: 5 }, "model"],
];

test.each(chatRefusals)("chat refuses %j", async (body, param) => {
  const { chat, server } = createClient();
  // A stream is refused with the same status and body: nothing of it was sent yet.
  for (const stream of [null, true]) {
    const error = await expectRefusal(await chat({ stream, ...body }), 400, param);
    expect(error.type).toBe("invalid_request_error");
  }
  expect(server.submitted).toHaveLength(0);
});

test("what is not supported is taken with the value that changes nothing", async () => {
  const { chat, complete } = createClient();
  const both = { mirostat: 0, length_penalty: 1, use_beam_search: false, bad_words: [], allowed_token_ids: null, grammar: null };
  expect((await chat({ ...both, echo: false, best_of: 1, suffix: null })).status).toBe(200);
  expect((await complete({ ...both, suffix: "", tools: [], top_logprobs: null, messages: null })).status).toBe(200);
});

test("stream_options without a stream is refused", async () => {
  const { chat, complete } = createClient();
  await expectRefusal(await chat({ stream_options: { include_usage: true } }), 400, "stream_options");
  await expectRefusal(await complete({ stream_options: {} }), 400, "stream_options");
});

const completionRefusals: [body: Record<string, unknown>, param: string][] = [
  [{ prompt: undefined }, "prompt"],
  [{ prompt: "" }, "prompt"],
  [{ prompt: [] }, "prompt"],
  [{ prompt: [""] }, "prompt"],
  [{ prompt: [[]] }, "prompt"],
  [{ prompt: [1, "a"] }, "prompt.1"],
  [{ prompt: [-1] }, "prompt.0"],
  [{ prompt: [512] }, "prompt"],
  [{ prompt: Array(65).fill("a") }, "prompt"],
  [{ prompt: Array(64).fill("a"), n: 16 }, "n"],
  [{ prompt: "x".repeat(4096) }, "prompt"],
  [{ suffix: "x" }, "suffix"],
  [{ messages: [user] }, "messages"],
  [{ max_completion_tokens: 5 }, "max_completion_tokens"],
  [{ top_logprobs: 5 }, "top_logprobs"],
  [{ tools: [{}] }, "tools"],
  [{ prompt_logprobs: 1 }, "prompt_logprobs"],
  [{ best_of: 3 }, "best_of"],
  [{ logprobs: 21 }, "logprobs"],
  [{ logprobs: true }, "logprobs"],
  [{ echo: true, logprobs: 1 }, "logprobs"],
  [{ echo: 1 }, "echo"],
];

test.each(completionRefusals)("completions refuses %#", async (body, param) => {
  const { complete, server } = createClient();
  await expectRefusal(await complete(body), 400, param);
  expect(server.submitted).toHaveLength(0);
});

test("a prompt that fills the context is refused with OpenAI's code", async () => {
  const { chat } = createClient();
  const error = await expectRefusal(await chat({ messages: [{ role: "user", content: "x".repeat(5000) }] }), 400, "messages");
  expect(error.code).toBe("context_length_exceeded");
});

const brokenBodies: [name: string, body: string][] = [
  ["empty", ""],
  ["malformed", "{bad"],
  ["cut", '{"messages": ['],
  ["an array", "[]"],
  ["null", "null"],
  ["a string", '"x"'],
  ["NaN", '{"prompt": "a", "temperature": NaN}'],
  ["bottomless", "[".repeat(500_000)],
  ["nested too deep", `{"a":${"[".repeat(200_000)}${"]".repeat(200_000)}}`],
  [
    "nested too deep in a known field",
    `{"prompt":"a","messages":[{"role":"user","content":${"[".repeat(101)}${"]".repeat(101)}}]}`,
  ],
];

test.each(brokenBodies)("a body that is %s is a 400", async (_, body) => {
  const { post } = createClient();
  for (const path of ["/v1/chat/completions", "/v1/completions"]) await expectRefusal(await post(path, body), 400, null);
});

test("bytes that are not UTF-8 and compressed bodies are a 400", async () => {
  const { send, post } = createClient();
  const body = Buffer.from([0x7b, 0xff, 0x7d]);
  await expectRefusal(await send("/v1/completions", { method: "POST", body }), 400, null);
  await expectRefusal(await post("/v1/completions", "{}", { "content-encoding": "gzip" }), 400, null);
});

test("1e999 is out of range, not infinity", async () => {
  const { post } = createClient();
  await expectRefusal(await post("/v1/completions", '{"prompt":"a","temperature":1e999}'), 400, "temperature");
  await expectRefusal(await post("/v1/completions", '{"prompt":"a","max_tokens":1e999}'), 400, "max_tokens");
  await expectRefusal(await post("/v1/completions", '{"prompt":"a","logit_bias":{"1":-1e999}}'), 400, "logit_bias.1");
});

test("__proto__ anywhere in a body changes nothing", async () => {
  const { post, server } = createClient();
  const proto = '"__proto__":{"polluted":true,"temperature":9},"constructor":{"prototype":{"polluted":true}}';
  const message = `{"role":"user","content":"x",${proto}}`;
  const body = `{"messages":[${message}],"chat_template_kwargs":{${proto}},"tools":[{"type":"function","function":{"name":"f",${proto}}}],${proto}}`;
  const response = await post("/v1/chat/completions", body);
  expect(response.status).toBe(200);
  expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  expect(server.rendered[0]?.messages[0]).not.toHaveProperty("polluted");
  expect(server.rendered[0]?.options?.kwargs).not.toHaveProperty("polluted");
  const bias = await post("/v1/completions", '{"prompt":"a","logit_bias":{"__proto__":5,"1":2}}');
  expect(bias.status).toBe(200);
  expect(server.submitted.at(-1)?.request.sampling.logitBias).toEqual(new Map([[1, 2]]));
});

test("an id that is no percent-encoded UTF-8 is the name of nothing", async () => {
  const { send } = createClient();
  for (const path of ["/v1/files/%ff", "/v1/responses/%ed%a0%80/input_items", "/v1/batches/%"]) {
    await expectRefusal(await send(path), 404, "id");
  }
  await expectRefusal(await send("/v1/models/%ff"), 404, "model");
});

test("a huge list of wrong items is refused quickly and shortly", async () => {
  const { complete, chat } = createClient();
  const wrong = Array(200_000).fill({ a: 1 });
  expect((await (await complete({ prompt: wrong })).text()).length).toBeLessThan(500);
  expect((await (await chat({ messages: wrong })).text()).length).toBeLessThan(500);
  expect((await (await chat({ temperature: "x".repeat(1_000_000) })).text()).length).toBeLessThan(500);
});

test("any content type is read as JSON, also none", async () => {
  const { send } = createClient();
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", null]) {
    const headers: Record<string, string> = type === null ? {} : { "content-type": type };
    const response = await send("/v1/completions", { method: "POST", headers, body: Buffer.from('{"prompt":"a"}') });
    expect(response.status).toBe(200);
  }
});

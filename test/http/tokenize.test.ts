import { beforeEach, expect, test } from "bun:test";
import * as v from "valibot";
import { ApplyTemplateResponse, DetokenizeResponse, TokenizeResponse } from "../../src/http/tokenize/model.ts";
import { createClient } from "./client.ts";

const { post, send, server } = createClient();
const guarded = createClient({ apiKeys: ["key"] });

const call = async <S extends v.GenericSchema>(path: string, body: object, schema: S): Promise<v.InferOutput<S>> => {
  const response = await post(path, body);
  expect(response.status).toBe(200);
  return v.parse(schema, await response.json());
};
const refusal = async (path: string, body: object) => {
  const response = await post(path, body);
  const { error } = (await response.json()) as { error: Record<string, unknown> };
  return { status: response.status, ...error };
};

beforeEach(() => {
  server.encoded = [];
  server.rendered = [];
});

test("a text under every name, with special tokens as the name's server adds them", async () => {
  const cases: [body: object, addSpecialTokens: boolean][] = [
    [{ content: "hé" }, false],
    [{ content: "hé", add_special: true }, true],
    [{ prompt: "hé" }, true],
    [{ prompt: "hé", add_special_tokens: false }, false],
    [{ text: "hé", model: "default" }, true],
  ];
  for (const [body, addSpecialTokens] of cases) {
    const answer = await call("/tokenize", body, TokenizeResponse);
    expect(answer).toEqual({ tokens: [0x68, 0xc3, 0xa9], count: 3, max_model_len: 4096 });
    expect(server.encoded.at(-1)).toEqual({ text: "hé", addSpecialTokens });
  }
  expect((await call("/tokenize", { content: "" }, TokenizeResponse)).count).toBe(0);
});

test("pieces are texts, or bytes where a token is a part of a character", async () => {
  const { tokens } = await call("/tokenize", { content: "hé", with_pieces: true }, TokenizeResponse);
  expect(tokens).toEqual([
    { id: 0x68, piece: "h" },
    { id: 0xc3, piece: [0xc3] },
    { id: 0xa9, piece: [0xa9] },
  ]);
  const { token_strs } = await call("/tokenize", { prompt: "hé", return_token_strs: true }, TokenizeResponse);
  expect(token_strs).toEqual(["h", "\ufffd", "\ufffd"]);
});

test("a conversation is tokenized as chat completions render it", async () => {
  const body = {
    messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }],
    tools: [{ type: "function", function: { name: "f" } }],
    chat_template_kwargs: { x: 1 },
    enable_thinking: false,
  };
  const { prompt } = await call("/apply-template", body, ApplyTemplateResponse);
  expect(prompt).toBe("<user>hi");
  expect((await call("/tokenize", body, TokenizeResponse)).count).toBe(prompt.length);
  expect(server.encoded.at(-1)).toEqual({ text: prompt, addSpecialTokens: false });
  expect((await post("/v1/chat/completions", body)).status).toBe(200);
  const [applied, tokenized, chatted] = server.rendered;
  expect(applied).toEqual(chatted);
  expect(tokenized).toEqual(chatted);
  await call("/apply-template", { ...body, tool_choice: "none", add_generation_prompt: false }, ApplyTemplateResponse);
  expect(server.rendered.at(-1)?.options).toMatchObject({ tools: null, addGenerationPrompt: false });
});

test("ids become text, under both names", async () => {
  const tokens = [...Buffer.from("héllo")];
  expect(await call("/detokenize", { tokens }, DetokenizeResponse)).toEqual({ content: "héllo", prompt: "héllo" });
  expect(await call("/detokenize", { tokens: [] }, DetokenizeResponse)).toEqual({ content: "", prompt: "" });
});

test.each<[path: string, body: object, param: string]>([
  ["/tokenize", {}, "content"],
  ["/tokenize", { content: "a", prompt: "b" }, "prompt"],
  ["/tokenize", { content: 7 }, "content"],
  ["/tokenize", { content: "a", parse_special: false }, "parse_special"],
  ["/tokenize", { messages: [] }, "messages"],
  ["/tokenize", { messages: [{ role: "user", content: [{ type: "image_url" }] }] }, "messages.0.content.0.type"],
  ["/detokenize", {}, "tokens"],
  ["/detokenize", { tokens: [1, -2] }, "tokens.1"],
  ["/detokenize", { tokens: [1, 512] }, "tokens.1"],
  ["/detokenize", { tokens: "abc" }, "tokens"],
  ["/apply-template", {}, "messages"],
  ["/apply-template", { messages: [{ role: "king", content: "a" }] }, "messages.0.role"],
  ["/apply-template", { messages: [{ role: "user", content: "a" }], tool_choice: "required" }, "tool_choice"],
])("%s refuses %j", async (path, body, param) => {
  expect(await refusal(path, body)).toMatchObject({ status: 400, param, type: "invalid_request_error" });
});

test("other models are unknown, other methods refused, and keys are asked for", async () => {
  expect(await refusal("/tokenize", { content: "a", model: "gpt-4" })).toMatchObject({ status: 404, code: "model_not_found" });
  expect((await send("/tokenize")).status).toBe(405);
  for (const path of ["/tokenize", "/detokenize", "/apply-template"]) {
    expect((await guarded.post(path, { content: "a", tokens: [97], messages: [{ role: "user", content: "a" }] })).status).toBe(
      401,
    );
    const body = { content: "a", tokens: [97], messages: undefined };
    const messages = path === "/apply-template" ? [{ role: "user", content: "a" }] : undefined;
    expect((await guarded.post(path, { ...body, messages }, { authorization: "Bearer key" })).status).toBe(200);
  }
});

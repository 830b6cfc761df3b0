import { afterAll, beforeEach, expect, test } from "bun:test";
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError, RateLimitError } from "openai";
import { EngineFailure, Overloaded } from "../../src/errors.ts";
import { createApp } from "../../src/http/app.ts";
import { ImitationServer, script } from "./imitation-server.ts";

const server = new ImitationServer();
const app = createApp(server, { apiKeys: ["key"] });
app.listen({ port: 0, hostname: "127.0.0.1", idleTimeout: 0 });
afterAll(() => app.stop(true));

const baseURL = `http://127.0.0.1:${app.server!.port}/v1`;
const client = new OpenAI({ baseURL, apiKey: "key", maxRetries: 0 });
const messages = [{ role: "user" as const, content: "hi" }];

beforeEach(() => {
  server.submitted = [];
  server.refusal = null;
  server.scripts = [script(["Hello", " world"])];
});

test("chat", async () => {
  const answer = await client.chat.completions.create({ model: "tiny-chat", messages, n: 2 });
  expect(answer.choices.map(({ message }) => message.content)).toEqual(["Hello world", "Hello world"]);
  expect(answer.usage?.total_tokens).toBe(32);
  expect(answer._request_id).toStartWith("req_");
});

test("chat stream with usage", async () => {
  const stream = await client.chat.completions.create({
    model: "default",
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let total = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    total += chunk.usage?.total_tokens ?? 0;
  }
  expect(text).toBe("Hello world");
  expect(total).toBe(20);
});

test("the stream helper puts the answer together", async () => {
  const runner = client.chat.completions.stream({ model: "default", messages, logprobs: true });
  expect(await runner.finalContent()).toBe("Hello world");
  const final = await runner.finalChatCompletion();
  expect(final.choices[0]?.finish_reason).toBe("stop");
  expect(final.choices[0]?.logprobs?.content?.map(({ token }) => token).join("")).toBe("Hello world");
});

test("completions, whole and streamed", async () => {
  const answer = await client.completions.create({ model: "default", prompt: ["a", "b"] });
  expect(answer.choices.map(({ text }) => text)).toEqual(["Hello world", "Hello world"]);
  let text = "";
  for await (const chunk of await client.completions.create({ model: "default", prompt: "a", stream: true })) {
    text += chunk.choices[0]?.text ?? "";
  }
  expect(text).toBe("Hello world");
});

test("models", async () => {
  expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["tiny-chat"]);
  expect((await client.models.retrieve("tiny-chat")).id).toBe("tiny-chat");
});

test("errors are the client's own classes", async () => {
  const ask = (model: string, temperature?: number) => client.chat.completions.create({ model, messages, temperature });
  expect(await ask("default", 5).catch((error: unknown) => error)).toBeInstanceOf(BadRequestError);
  expect(await ask("gpt-4").catch((error: unknown) => error)).toBeInstanceOf(NotFoundError);
  server.refusal = { after: 0, error: new Overloaded("full", 1) };
  const overloaded: unknown = await ask("default").catch((error: unknown) => error);
  expect(overloaded).toBeInstanceOf(RateLimitError);
  expect((overloaded as RateLimitError).headers?.get("retry-after")).toBe("1");
  const stranger = new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 });
  const refused: unknown = await stranger.models.list().catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(AuthenticationError);
  expect((refused as AuthenticationError).code).toBe("invalid_api_key");
});

test("a failure in mid-stream reaches the client as an error", async () => {
  server.scripts = [[...script(["a"]).slice(0, 1), { fail: new EngineFailure("The pass failed.") }]];
  const stream = await client.chat.completions.create({ model: "default", messages, stream: true });
  let text = "";
  const read = async () => {
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  };
  const error: unknown = await read().catch((failure: unknown) => failure);
  expect(error).toBeInstanceOf(APIError);
  expect((error as APIError).message).toContain("The pass failed.");
  expect(text).toBe("a");
});

test("abort cancels the generation", async () => {
  server.scripts = [[...script(["a"]).slice(0, 1), { waitMs: 60_000 }]];
  const stream = await client.chat.completions.create({ model: "default", messages, stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content === "a") break;
  for (let tries = 0; tries < 500 && !server.submitted[0]?.cancelled; tries++) await Bun.sleep(4);
  expect(server.submitted[0]?.cancelled).toBe(true);
});

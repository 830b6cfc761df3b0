import { expect, test } from "bun:test";
import * as v from "valibot";
import { EngineFailure, InvalidRequest, Overloaded, Unavailable } from "../../src/errors.ts";
import type { LogLine } from "../../src/http/app.ts";
import { ErrorBody } from "../../src/http/fields.ts";
import { Health } from "../../src/http/health/model.ts";
import { Model, ModelList } from "../../src/http/models/model.ts";
import { createClient, origin } from "./client.ts";
import { ImitationServer } from "./imitation-server.ts";

async function errorOf(response: Response) {
  return { status: response.status, ...v.parse(ErrorBody, await response.json()).error };
}

test("health has the fixed keys and kinds", async () => {
  const { send, server } = createClient();
  const response = await send("/health");
  expect(response.status).toBe(200);
  const health = v.parse(Health, await response.json());
  expect(health).toEqual({
    status: "ok",
    queue_size: 2,
    processing: false,
    active_requests: 0,
    stats: {
      total_requests: 0,
      total_tokens: 11,
      generation_tps: "145.2",
      peak_memory_gb: "28.50",
      peak_memory_bytes: 28_500_000_000,
      active_memory_bytes: 1,
      cache_memory_bytes: 2,
      kv_bytes: 3,
      prefix_cache_bytes: 4,
      prefix_cache_hit_rate: 0.5,
    },
  });
  server.status = "failed";
  server.failure = "out of memory";
  const failed = await send("/health");
  expect(failed.status).toBe(503);
  expect(v.parse(Health, await failed.json())).toMatchObject({ status: "failed", error: "out of memory", queue_size: 2 });
});

test("models are listed, and found by id, alias, and with slashes raw or encoded", async () => {
  const server = new ImitationServer();
  server.model = { ...server.model, id: "org/some model", aliases: ["default", "some model"] };
  const { send } = createClient({}, server);
  const list = v.parse(ModelList, await (await send("/v1/models")).json());
  expect(list.data.map(({ id }) => id)).toEqual(["org/some model"]);
  for (const name of ["org/some%20model", "org%2Fsome%20model", "default", "some%20model"]) {
    const response = await send(`/v1/models/${name}`);
    expect(response.status).toBe(200);
    expect(v.parse(Model, await response.json()).id).toBe("org/some model");
  }
  for (const name of ["org", "org/other", "%ff", "a/b/c"]) {
    expect(await errorOf(await send(`/v1/models/${name}`))).toMatchObject({ status: 404, code: "model_not_found" });
  }
});

test("the model's name is checked, unless every name is taken", async () => {
  const { chat, complete } = createClient();
  for (const model of [undefined, null, "", "default", "tiny-chat"]) expect((await chat({ model })).status).toBe(200);
  for (const ask of [chat, complete]) {
    const error = await errorOf(await ask({ model: "gpt-4", stream: true }));
    expect(error).toMatchObject({ status: 404, code: "model_not_found", param: "model", type: "invalid_request_error" });
    expect(error.message).toContain("tiny-chat");
  }
  const open = createClient({ acceptAnyModel: true });
  const answer = await open.chat({ model: "gpt-4" });
  expect(await answer.json()).toMatchObject({ model: "tiny-chat" });
});

test("unknown routes are 404 and wrong methods 405, both as OpenAI's error object", async () => {
  const { send } = createClient();
  expect(await errorOf(await send("/v1/nothing", { method: "POST" }))).toMatchObject({ status: 404, code: "unknown_url" });
  expect(await errorOf(await send("/nothing"))).toMatchObject({ status: 404 });
  const wrong = await send("/v1/chat/completions");
  expect(wrong.headers.get("allow")).toBe("POST, OPTIONS");
  expect(await errorOf(wrong)).toMatchObject({ status: 405, code: "method_not_allowed", type: "invalid_request_error" });
  for (const path of ["/health", "/v1/models", "/v1/models/a", "/v1/models/a/b", "/swagger"]) {
    expect(await errorOf(await send(path, { method: "DELETE" }))).toMatchObject({ status: 405 });
  }
});

test("a refusal of the engine keeps its kind, also for a stream, and takes back what was submitted before it", async () => {
  const { chat, server } = createClient();
  const refusals: [error: Error, status: number, type: string][] = [
    [new Overloaded("The queue is full.", 2.5), 429, "rate_limit_error"],
    [new Unavailable("Shutting down."), 503, "server_error"],
    [new EngineFailure("Broken."), 500, "server_error"],
    [new InvalidRequest("Too much.", "max_tokens"), 400, "invalid_request_error"],
  ];
  for (const [error, status, type] of refusals) {
    server.submitted = [];
    server.refusal = { after: 1, error };
    const response = await chat({ n: 2, stream: true });
    expect(response.headers.get("retry-after")).toBe(status === 429 ? "3" : null);
    expect(await errorOf(response)).toMatchObject({ status, type, message: error.message });
    expect(server.submitted.map(({ cancelled }) => cancelled)).toEqual([true]);
  }
});

test("an unexpected exception is a 500 without detail, and the log has the detail", async () => {
  const lines: LogLine[] = [];
  const { chat, server } = createClient({ log: (line) => lines.push(line) });
  server.refusal = { after: 0, error: new TypeError("secret detail") };
  const response = await chat({});
  const text = await response.text();
  expect(response.status).toBe(500);
  expect(text).not.toContain("secret");
  const line = lines.find(({ level }) => level === "error");
  expect(line?.error).toContain("secret detail");
  expect(line?.requestId).toBe(response.headers.get("x-request-id"));
});

test("an engine failure in the middle fails the answer and cancels the other choices", async () => {
  const { chat, server } = createClient();
  server.scripts = [[{ waitMs: 1000 }], [{ fail: new EngineFailure("Broken.") }]];
  expect(await errorOf(await chat({ n: 2 }))).toMatchObject({ status: 500, code: "engine_failure" });
  expect(server.submitted[0]?.cancelled).toBe(true);
});

test("bodies over the limit are 413, with and without a declared length", async () => {
  const { post, send } = createClient({ maxBodyBytes: 100 });
  const body = JSON.stringify({ prompt: "x".repeat(200) });
  expect(await errorOf(await post("/v1/completions", body, { "content-length": String(body.length) }))).toMatchObject({
    status: 413,
  });
  const stream = new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(64).fill(32));
    },
  });
  expect(await errorOf(await send("/v1/completions", { method: "POST", body: stream }))).toMatchObject({ status: 413 });
  expect((await post("/v1/completions", { prompt: "x" })).status).toBe(200);
});

test("with keys configured, /v1 asks for one and the rest stays open", async () => {
  const { send, server } = createClient({ apiKeys: ["one", "two"] });
  const ask = (headers: Record<string, string>) => send("/v1/models", { headers });
  expect((await ask({ authorization: "Bearer one" })).status).toBe(200);
  expect((await ask({ authorization: "bearer two" })).status).toBe(200);
  expect((await ask({ "x-api-key": "two" })).status).toBe(200);
  for (const headers of [{}, { authorization: "Bearer three" }, { authorization: "one" }, { "x-api-key": "" }]) {
    const response = await ask(headers as Record<string, string>);
    expect(response.headers.get("x-request-id")).toBeString();
    expect(await errorOf(response)).toMatchObject({ status: 401, code: "invalid_api_key", type: "invalid_request_error" });
  }
  const refused = await send("/v1/completions", { method: "POST", body: '{"prompt":"a"}' });
  expect(refused.status).toBe(401);
  expect(server.submitted).toHaveLength(0);
  for (const path of ["/health", "/openapi.json", "/swagger"]) expect((await send(path)).status).toBe(200);
  expect((await send("/v1/models", { method: "OPTIONS" })).status).toBe(204);
});

test("without keys any key is accepted", async () => {
  const { send } = createClient();
  expect((await send("/v1/models", { headers: { authorization: "Bearer whatever" } })).status).toBe(200);
});

test("browsers may call from anywhere", async () => {
  const { send } = createClient();
  const preflight = await send("/v1/chat/completions", {
    method: "OPTIONS",
    headers: { origin: "https://page.example", "access-control-request-headers": "authorization,x-stainless-os" },
  });
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
  expect(preflight.headers.get("access-control-allow-headers")).toContain("x-stainless-os");
  for (const path of ["/health", "/nothing"]) expect((await send(path)).headers.get("access-control-allow-origin")).toBe("*");
});

test("every answer has a request id: the client's if sane", async () => {
  const { send, chat } = createClient();
  const idOf = async (id: string) => (await send("/health", { headers: { "x-request-id": id } })).headers.get("x-request-id");
  expect(await idOf("my-id.1")).toBe("my-id.1");
  expect(await idOf("x".repeat(500))).toStartWith("req_");
  expect(await idOf("<script>")).toStartWith("req_");
  expect((await chat({ stream: true })).headers.get("x-request-id")).toStartWith("req_");
  expect((await send("/nothing")).headers.get("x-request-id")).toStartWith("req_");
});

test("the root leads to the documentation", async () => {
  const { app } = createClient();
  const response = await app.handle(new Request(`${origin}/`));
  expect(response.status).toBe(302);
  expect(response.headers.get("location")).toBe("/swagger");
});

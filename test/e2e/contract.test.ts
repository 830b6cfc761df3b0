/** What the binary answers is what its documentation and its schemas say. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import * as v from "valibot";
import { ChatCompletion, ChatCompletionChunk } from "../../src/http/chat/model.ts";
import { Completion, CompletionChunk } from "../../src/http/completions/model.ts";
import { Health } from "../../src/http/health/model.ts";
import { Model, ModelList } from "../../src/http/models/model.ts";
import { say } from "./ask.ts";
import { type Served, startServer } from "./serve.ts";

let server: Served;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

const get = (path: string) => fetch(server.url + path);
const post = (path: string, body: object) => fetch(server.url + path, { method: "POST", body: JSON.stringify(body) });

/** Of the schema, and with nothing that it does not know: valibot leaves unknown keys out. */
function expectOf(schema: v.GenericSchema, value: unknown): void {
  expect(v.parse(schema, value)).toEqual(value);
}

const requests = [
  {},
  { n: 2, temperature: 1 },
  { max_tokens: 0 },
  { logprobs: true, top_logprobs: 3 },
  { stop: "I" },
  { stop: "I", logprobs: true },
];

test("chat completions, whole and streamed, are of their schemas", async () => {
  const messages = say("Hello!");
  for (const request of requests) {
    const whole = await post("/v1/chat/completions", { messages, ...request });
    expectOf(ChatCompletion, await whole.json());
    for (const include_usage of [true, false]) {
      const body = { messages, stream: true, stream_options: { include_usage }, ...request };
      const streamed = await post("/v1/chat/completions", body);
      expect(streamed.headers.get("content-type")).toStartWith("text/event-stream");
      await expectEvents(streamed, ChatCompletionChunk, include_usage);
    }
  }
});

test("text completions, whole and streamed, are of their schemas", async () => {
  for (const request of requests) {
    const body = { prompt: ["The capital of", "Hello"], ...request, ...("logprobs" in request && { logprobs: 3 }) };
    const { top_logprobs: _, ...plain } = body as typeof body & { top_logprobs?: number };
    expectOf(Completion, await (await post("/v1/completions", plain)).json());
    for (const include_usage of [true, false]) {
      const streamed = await post("/v1/completions", { ...plain, stream: true, stream_options: { include_usage } });
      await expectEvents(streamed, CompletionChunk, include_usage);
    }
  }
});

async function expectEvents(response: Response, schema: v.GenericSchema, withUsage: boolean): Promise<void> {
  const text = await response.text();
  const events = text.split("\n\n").filter((event) => event !== "");
  for (const event of events) expect(event).toStartWith("data: ");
  const data = events.map((event) => event.slice("data: ".length));
  expect(data.pop()).toBe("[DONE]");
  expect(data).not.toContain("[DONE]");
  const chunks = data.map(
    (one) => JSON.parse(one) as { id: string; usage?: unknown; choices: { index: number; finish_reason: unknown }[] },
  );
  for (const chunk of chunks) expectOf(schema, chunk);
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  const choices = chunks.flatMap((chunk) => chunk.choices);
  const ends = choices.filter(({ finish_reason }) => finish_reason !== null).map(({ index }) => index);
  expect(ends.toSorted()).toEqual([...new Set(choices.map(({ index }) => index))].toSorted());
  const withCounts = chunks.filter(({ usage }) => usage != null);
  expect(withCounts).toHaveLength(withUsage ? 1 : 0);
  if (withUsage) expect(chunks.at(-1)).toMatchObject({ choices: [], usage: withCounts[0]!.usage });
}

test("health has the fixed keys", async () => {
  const health = (await (await get("/health")).json()) as v.InferOutput<typeof Health>;
  expectOf(Health, health);
  expect(health).toMatchObject({ status: "ok", queue_size: 0, processing: false, active_requests: 0 });
  expect(health.stats.generation_tps).toMatch(/^\d+\.\d$/);
  expect(health.stats.peak_memory_gb).toMatch(/^\d+\.\d\d$/);
  expect(health.stats.total_requests).toBeGreaterThan(0);
  expect(health.stats.total_tokens).toBeGreaterThan(0);
});

test("the models are of their schemas", async () => {
  expectOf(ModelList, await (await get("/v1/models")).json());
  for (const id of ["tiny-chat", "default"]) expectOf(Model, await (await get(`/v1/models/${id}`)).json());
});

test("Swagger UI and all it needs come from the binary", async () => {
  const page = await (await get("/swagger")).text();
  expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
  const assets = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path!);
  expect(assets.length).toBeGreaterThanOrEqual(3);
  for (const path of [...assets, "/swagger/LICENSE", "/swagger/NOTICE"]) {
    const response = await get(path);
    expect({ path, status: response.status }).toEqual({ path, status: 200 });
    expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(30);
  }
  expect((await get("/")).url).toBe(`${server.url}/swagger`);
});

import { afterAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { EngineFailure } from "../../src/errors.ts";
import { createApp, type LogLine } from "../../src/http/app.ts";
import { createClient, readEvents } from "./client.ts";
import { ImitationServer, type Step, script } from "./imitation-server.ts";

const log: LogLine[] = [];
const server = new ImitationServer();
const app = createApp(server, { keepAliveMs: 30, log: (line) => log.push(line) });
app.listen({ port: 0, hostname: "127.0.0.1", idleTimeout: 0 });
afterAll(() => app.stop(true));
const port = app.server!.port!;

const messages = [{ role: "user", content: "hi" }];

function ask(body: object, init: RequestInit = {}) {
  const url = `http://127.0.0.1:${port}/v1/chat/completions`;
  return fetch(url, { method: "POST", body: JSON.stringify({ messages, ...body }), ...init });
}

function play(...scripts: ImitationServer["scripts"]) {
  server.submitted = [];
  server.scripts = scripts;
}

async function until(condition: () => boolean, withinMs = 2000) {
  for (const end = performance.now() + withinMs; performance.now() < end; await Bun.sleep(2)) if (condition()) return;
  throw new Error("the condition did not come true");
}

test("chunks come when they are made, and silence is bridged by comments", async () => {
  play([{ waitMs: 100 }, ...script(["a"]).slice(0, 1), { waitMs: 100 }, ...script(["b"])]);
  const response = await ask({ stream: true });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const first = await reader.read();
  expect(first.value).toContain('"role":"assistant"');
  expect(server.submitted[0]?.taken).toBe(0);
  let text = first.value ?? "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
  const { comments, events } = readEvents(text);
  expect(comments.length).toBeGreaterThanOrEqual(3);
  expect(text.indexOf(": keep-alive")).toBeLessThan(text.indexOf('"content":"a"'));
  expect(events.filter((data) => data === "[DONE]")).toHaveLength(1);
});

test.each([true, false])("a client that leaves while nothing comes cancels at once (stream: %p)", async (stream) => {
  play([{ waitMs: 60_000 }]);
  const abort = new AbortController();
  const answer = ask({ stream, n: 2 }, { signal: abort.signal })
    .then((response) => response.text())
    .catch(() => "left");
  await until(() => server.submitted.length === 2);
  expect(server.submitted.some(({ cancelled }) => cancelled)).toBe(false);
  const before = log.length;
  abort.abort();
  expect(await answer).toBe("left");
  await until(() => server.submitted.every(({ cancelled }) => cancelled));
  await Bun.sleep(20);
  expect(log.slice(before).filter(({ level }) => level !== "info")).toEqual([]);
});

test("a client that leaves between chunks cancels", async () => {
  play(function* (): Iterable<Step> {
    for (;;) {
      yield { waitMs: 5 };
      yield { text: "x", tokens: [{ id: 120 }], finishReason: null };
    }
  });
  const abort = new AbortController();
  const response = await ask({ stream: true }, { signal: abort.signal });
  const reader = response.body!.getReader();
  for (let count = 0; count < 5; count++) await reader.read();
  abort.abort();
  await until(() => server.submitted[0]!.cancelled);
});

test("cancelling the body cancels, also without a socket", async () => {
  const client = createClient({ log: (line) => log.push(line) });
  client.server.scripts = [[{ waitMs: 60_000 }]];
  const reader = (await client.chat({ stream: true })).body!.getReader();
  await reader.read();
  const pending = reader.read();
  const before = log.length;
  await reader.cancel();
  await pending;
  expect(client.server.submitted[0]?.cancelled).toBe(true);
  await Bun.sleep(10);
  expect(log.slice(before).filter(({ level }) => level !== "info")).toEqual([]);
});

test("a client that does not read holds the generation back", async () => {
  play(function* (): Iterable<Step> {
    for (;;) yield { text: "x".repeat(10_000), tokens: [{ id: 120 }], finishReason: null };
  });
  const socket = connect(port, "127.0.0.1");
  const body = JSON.stringify({ messages, stream: true });
  socket.pause();
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  await until(() => (server.submitted[0]?.taken ?? 0) > 0);
  let taken = -1;
  await until(() => {
    const before = taken;
    taken = server.submitted[0]!.taken;
    return before === taken;
  }, 10_000);
  await Bun.sleep(200);
  expect(server.submitted[0]!.taken).toBe(taken);
  socket.destroy();
  await until(() => server.submitted[0]!.cancelled);
});

test.each([true, false])(
  "a host of one letter is routed as any other, and its clients may leave (own listener: %p)",
  async (own) => {
    // `fetch` given to Bun.serve and Elysia's own listener find routes in different ways.
    const short = new ImitationServer();
    const shortApp = createApp(short);
    const listener = own ? Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: shortApp.fetch }) : shortApp.listen(0).server!;
    const headers = { host: "a" };
    const url = `http://127.0.0.1:${listener.port}`;
    expect((await fetch(`${url}/health`, { headers })).status).toBe(200);
    expect((await fetch(`${url}/v1/models/x/y`, { headers })).status).toBe(404);
    short.scripts = [[{ waitMs: 60_000 }]];
    const abort = new AbortController();
    const body = JSON.stringify({ messages, stream: true });
    const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body, signal: abort.signal });
    await response.body!.getReader().read();
    abort.abort();
    await until(() => short.submitted[0]!.cancelled);
    await listener.stop(true);
  },
);

test("a failure in mid-stream is an error event and the end, without [DONE]", async () => {
  play([...script(["a"]).slice(0, 1), { fail: new EngineFailure("The pass failed.") }], [{ waitMs: 60_000 }]);
  const { events, chunks } = readEvents(await (await ask({ stream: true, n: 2 })).text());
  expect(events).not.toContain("[DONE]");
  expect(chunks.at(-1)).toEqual({
    error: { message: "The pass failed.", type: "server_error", param: null, code: "engine_failure" },
  });
  expect(server.submitted[1]?.cancelled).toBe(true);
});

test("a generation that stops without an end is an error, not a short answer", async () => {
  play(script(["a"]).slice(0, 1));
  const { chunks } = readEvents(await (await ask({ stream: true })).text());
  expect(chunks.at(-1)).toHaveProperty("error");
  expect((await ask({})).status).toBe(500);
});

test("a body over the limit is answered while it is still being sent", async () => {
  const small = createApp(new ImitationServer(), { maxBodyBytes: 1000 });
  small.listen({ port: 0, hostname: "127.0.0.1", idleTimeout: 0 });
  const url = `http://127.0.0.1:${small.server!.port}/v1/completions`;
  const response = await fetch(url, { method: "POST", body: "x".repeat(100_000) });
  expect(response.status).toBe(413);
  expect(await response.json()).toMatchObject({ error: { code: "request_too_large" } });
  await small.stop(true);
});

test("many streams at once all come out whole", async () => {
  play((request) => script([...String(request.sampling.seed)], "length"));
  const answers = await Promise.all(
    Array.from({ length: 64 }, async (_, index) => {
      const { chunks } = readEvents(await (await ask({ stream: true, seed: 1000 + index })).text());
      return chunks.map((chunk) => (chunk.choices as { delta: { content?: string } }[])[0]?.delta.content ?? "").join("");
    }),
  );
  expect(answers).toEqual(Array.from({ length: 64 }, (_, index) => String(1000 + index)));
});

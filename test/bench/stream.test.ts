import { afterEach, describe, expect, test } from "bun:test";
import { type CompletionRequest, complete } from "../../src/bench/stream.ts";
import { serveImitation, serveRaw, targetAt } from "./answering.ts";

const stops: (() => unknown)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

const ask = async (pieces: readonly (string | null)[], request: Partial<CompletionRequest> = {}) => {
  const server = serveRaw(pieces);
  stops.push(server.stop);
  return complete(server.target, { prompt: "hi", maxTokens: 3, timeoutMs: 2000, ...request });
};

const event = (content: string) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;
const usage = 'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n';
const done = "data: [DONE]\n\n";
const head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
const chunked = (pieces: readonly string[]) =>
  `${head}transfer-encoding: chunked\r\n\r\n${pieces.map((piece) => `${Buffer.byteLength(piece).toString(16)}\r\n${piece}\r\n`).join("")}0\r\n\r\n`;

describe("an answer", () => {
  const events = [event(""), event("é"), ": keep-alive\n\n", event("b"), event("c"), usage, done];
  const answers: [name: string, answer: string][] = [
    ["in chunks", chunked(events)],
    ["in one chunk", chunked([events.join("")])],
    ["to the end of the connection", `${head}\r\n${events.join("")}`],
    ["of a known length", `${head}content-length: ${Buffer.byteLength(events.join(""))}\r\n\r\n${events.join("")}`],
    ["with carriage returns", chunked(events.map((one) => one.replaceAll("\n", "\r\n")))],
  ];
  test.each(answers)("%s", async (_, answer) => {
    const result = await ask([answer]);
    expect(result).toMatchObject({ wanted: 3, promptTokens: 7, outputTokens: 3, error: null });
    expect(result.stamps).toHaveLength(3);
    expect(result.end).toBeGreaterThanOrEqual(result.stamps[2]!);
    expect(result.stamps[0]).toBeGreaterThanOrEqual(result.start);
  });

  test("cut anywhere", async () => {
    for (const size of [1, 7, 50]) {
      const pieces = chunked(events).match(new RegExp(`[^]{1,${size}}`, "gu"))!;
      const result = await ask(pieces);
      expect(result).toMatchObject({ promptTokens: 7, outputTokens: 3, error: null });
      expect(result.stamps).toHaveLength(3);
    }
  });

  test("by our own server", async () => {
    const server = serveImitation(["key"]);
    stops.push(server.stop);
    const result = await complete(targetAt(server.url, "key"), { prompt: "hello", maxTokens: 5 });
    expect(result).toMatchObject({ outputTokens: 5, error: null });
    expect(server.engine.submitted[0]?.request).toMatchObject({ maxTokens: 5, ignoreEos: true, sampling: { temperature: 0 } });
    expect((await complete(server.target, { prompt: "hello", maxTokens: 5 })).error).toStartWith("HTTP 401: ");
  });
});

describe("a failure is a result", () => {
  const failures: [name: string, pieces: (string | null)[], error: string][] = [
    ["a status", ["HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"], "HTTP 503: busy"],
    ["a status without a length", ["HTTP/1.1 500 Oh\r\n\r\noh"], "HTTP 500: oh"],
    ["an early end", [chunked([event("a")])], "the stream ended without [DONE]"],
    ["a broken connection", [`${head}\r\n${event("a")}`], "the connection was closed"],
    ["an error event", [chunked(['data: {"error":{"message":"no"}}\n\n', done])], '{"message":"no"}'],
    ["no JSON", [chunked(["data: {oh}\n\n"])], "not JSON: {oh}"],
    ["silence", [null], "no answer within 0.05 s"],
  ];
  test.each(failures)("%s", async (_, pieces, error) => {
    expect((await ask(pieces, { timeoutMs: pieces[0] === null ? 50 : 2000 })).error).toBe(error);
  });

  test("nobody there", async () => {
    const server = serveRaw([]);
    server.stop();
    expect((await complete(server.target, { prompt: "hi", maxTokens: 1 })).error).not.toBeNull();
  });
});

test("leaving keeps what has come", async () => {
  const leaving = new AbortController();
  const result = await ask([`${head}\r\n${event("a")}${event("b")}`, null], {
    signal: leaving.signal,
    onText: () => setTimeout(() => leaving.abort(), 5),
  });
  expect(result).toMatchObject({ error: null, outputTokens: null });
  expect(result.stamps).toHaveLength(2);
  expect((await ask([null], { signal: AbortSignal.abort() })).stamps).toEqual([]);
});

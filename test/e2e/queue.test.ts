import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { RateLimitError } from "openai";
import { ask, askWhole, lengthy, say } from "./ask.ts";
import { expectGolden, goldenEntries, questionOf } from "./golden.ts";
import { isIdle, type Served, startServer, until } from "./serve.ts";

const hello = goldenEntries[0]!;
let server: Served;
beforeAll(async () => {
  server = await startServer(["--max-batch-size", "1", "--max-queue", "1"]);
});
afterAll(() => server.stop());

const post = (body: object) =>
  fetch(`${server.url}/v1/chat/completions`, { method: "POST", body: JSON.stringify({ messages: say("Hello!"), ...body }) });

test("when the place and the queue are taken, one more is told when to come back", async () => {
  const controller = new AbortController();
  const running = ask(server.openai, lengthy(3000), { signal: controller.signal }).catch(() => null);
  await until(server, ({ active_requests }) => active_requests === 1);
  const waiting = ask(server.openai, questionOf(hello));
  await until(server, ({ queue_size }) => queue_size === 1);
  for (const stream of [true, false]) {
    const refused = await post({ stream });
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(refused.headers.get("content-type")).toStartWith("application/json");
    const { error } = (await refused.json()) as { error: object };
    expect(error).toEqual({ message: expect.any(String), type: "rate_limit_error", param: null, code: "queue_full" });
  }
  await expect(ask(server.openai, questionOf(hello))).rejects.toBeInstanceOf(RateLimitError);
  // Its two choices are refused together.
  await expect(askWhole(server.openai, { messages: say("Hello!"), n: 2 })).rejects.toBeInstanceOf(RateLimitError);
  expect((await server.health()).queue_size).toBe(1);
  controller.abort();
  await running;
  expectGolden(hello, await waiting);
  await until(server, isIdle);
  expectGolden(hello, await ask(server.openai, questionOf(hello)));
});

test("the official client, which tries again by itself, gets its answer in the end", async () => {
  const patient = server.openai.withOptions({ maxRetries: 8 });
  const answers = await Promise.all(Array.from({ length: 4 }, () => ask(patient, { ...questionOf(hello), max_tokens: 30 })));
  for (const answer of answers) expectGolden(hello, answer);
});

test("places that are free do not count as queue", async () => {
  const wide = await startServer(["--max-queue", "0", "--max-batch-size", "6"]);
  try {
    const four = await askWhole(wide.openai, { ...questionOf(hello), n: 4 });
    expect(four.choices.map(({ text }) => text)).toEqual(Array<string>(4).fill(hello.completion_text));
    const six = await Promise.all(Array.from({ length: 6 }, () => ask(wide.openai, questionOf(hello))));
    for (const answer of six) expectGolden(hello, answer);
    await expect(askWhole(wide.openai, { ...questionOf(hello), n: 7 })).rejects.toBeInstanceOf(RateLimitError);
  } finally {
    await wide.stop();
  }
});

test("a stream that has to wait is kept alive by comments", async () => {
  const narrow = await startServer(["--max-batch-size", "1"]);
  try {
    const controller = new AbortController();
    const running = ask(narrow.openai, { ...lengthy(4000), n: 16 }, { signal: controller.signal }).catch(() => null);
    await until(narrow, ({ active_requests }) => active_requests === 1);
    const body = JSON.stringify({ messages: say("Hello!"), stream: true });
    const response = await fetch(`${narrow.url}/v1/chat/completions`, { method: "POST", body });
    let text = "";
    for await (const bytes of response.body!) {
      text += new TextDecoder().decode(bytes);
      if (text.includes(": keep-alive\n\n")) controller.abort();
    }
    await running;
    expect(text.match(/^: keep-alive$/gm)).not.toBeNull();
    expect(text).toEndWith("data: [DONE]\n\n");
  } finally {
    await narrow.stop();
  }
});

test("a client that reads late holds up nobody and loses nothing", async () => {
  const wide = await startServer();
  try {
    // Far more than the buffers between the two take.
    const body = JSON.stringify({ ...lengthy(1000), n: 8, stream: true, logprobs: true, top_logprobs: 20 });
    const socket = connect(Number(new URL(wide.url).port), "127.0.0.1");
    let received = "";
    socket.once("data", (bytes) => {
      received += bytes;
      socket.pause();
    });
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await until(wide, ({ active_requests }) => active_requests === 8);
    const others = await Promise.all(goldenEntries.slice(0, 4).map((entry) => ask(wide.openai, questionOf(entry))));
    others.forEach((answer, index) => {
      expectGolden(goldenEntries[index]!, answer);
    });
    // Its own generation goes on to the end as well, and gives its places back.
    await until(wide, isIdle);
    await Bun.sleep(500);
    // Its output waits in the engine, merged, and not in the connection.
    expect(wide.log()).not.toContain("completionTokens=8000");
    expect(received).not.toContain("[DONE]");
    socket.on("data", (bytes) => {
      received += bytes;
    });
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.resume();
    await closed;
    expect(received.length).toBeGreaterThan(10_000_000);
    expect(received).toContain("data: [DONE]\n\n");
    expect(wide.log()).toContain("completionTokens=8000");
    expect([...received.matchAll(/"top_logprobs":\[\{/g)]).toHaveLength(8000);
  } finally {
    expect(await wide.stop()).toBe(0);
  }
});

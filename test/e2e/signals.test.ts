import { expect, test } from "bun:test";
import { connect } from "node:net";
import { type Answer, ask, askWhole, lengthy, say } from "./ask.ts";
import { expectGolden, goldenEntries, questionOf } from "./golden.ts";
import { startServer, until } from "./serve.ts";

const hello = goldenEntries[0]!;

/** Whether the port still takes connections. */
function isOpen(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

async function untilClosed(url: string): Promise<void> {
  const deadline = performance.now() + 2000;
  while (await isOpen(url)) {
    if (performance.now() > deadline) throw new Error("the port is still open");
    await Bun.sleep(5);
  }
}

test.each(["SIGTERM", "SIGINT"] as const)("%s: what runs and what waits is finished, nothing new is taken", async (signal) => {
  const server = await startServer(["--max-batch-size", "3"]);
  const running = Array.from({ length: 3 }, (_, index) => (index % 2 ? askWhole : ask)(server.openai, lengthy(600, index)));
  await until(server, ({ active_requests }) => active_requests === 3);
  const waiting = Array.from({ length: 3 }, () => ask(server.openai, questionOf(hello)));
  await until(server, ({ active_requests, queue_size }) => active_requests === 3 && queue_size === 3);
  server.child.kill(signal);
  await untilClosed(server.url);
  expect(server.child.exitCode).toBeNull();
  for (const answer of await Promise.all(running)) {
    expect(answer.usage?.completion_tokens).toBe(600);
    expect(answer.choices[0]?.finishReason).toBe("length");
  }
  for (const answer of await Promise.all(waiting)) expectGolden(hello, answer);
  const answered = performance.now();
  expect(await server.child.exited).toBe(0);
  // The client's idle connections do not hold up the exit.
  expect(performance.now() - answered).toBeLessThan(1500);
  expect(server.log()).not.toContain(" error ");
  await server.stop();
});

test("a request on a connection that is still open is told that the server stops", async () => {
  const server = await startServer();
  const running = ask(server.openai, lengthy(600));
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  let text = "";
  socket.on("data", (bytes) => {
    text += bytes;
  });
  socket.on("error", () => {});
  const closed = new Promise((resolve) => socket.once("close", resolve));
  const get = "GET /health HTTP/1.1\r\nHost: test\r\n\r\n";
  socket.write(get);
  await until(server, ({ active_requests }) => active_requests === 1);
  server.child.kill("SIGTERM");
  await untilClosed(server.url);
  const body = JSON.stringify({ messages: say("Hello!") });
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  await closed;
  // Either it was closed as idle, or it says so.
  const answers = text.split("HTTP/1.1 ").slice(1);
  if (answers.length > 1) expect(answers[1]).toStartWith("503");
  expect((await running).usage?.completion_tokens).toBe(600);
  expect(await server.child.exited).toBe(0);
  await server.stop();
});

test("what is not done within the grace period is ended with an error, and the exit code is 0", async () => {
  const server = await startServer(["--shutdown-grace", "0.5", "--max-batch-size", "2"]);
  const outcomes = [ask, askWhole, ask].map((way) => way(server.openai, lengthy(4000)).catch((error: unknown) => error as Error));
  await until(server, ({ active_requests, queue_size }) => active_requests === 2 && queue_size === 1);
  const begun = performance.now();
  expect(await server.stop()).toBe(0);
  const seconds = (performance.now() - begun) / 1000;
  expect(seconds).toBeGreaterThan(0.45);
  expect(seconds).toBeLessThan(4);
  for (const outcome of (await Promise.all(outcomes)) as (Answer | Error)[]) {
    expect(outcome).toBeInstanceOf(Error);
    expect((outcome as Error).message).toContain("shutting down");
  }
});

test("a stream that nobody reads does not hold up the exit for long", async () => {
  const server = await startServer(["--shutdown-grace", "1"]);
  const body = JSON.stringify({ ...lengthy(1500), stream: true, logprobs: true, top_logprobs: 20 });
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  socket.once("data", () => socket.pause());
  socket.on("error", () => {});
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  await until(server, ({ stats }) => stats.total_tokens > 20);
  const begun = performance.now();
  expect(await server.stop()).toBe(0);
  expect(performance.now() - begun).toBeLessThan(8000);
  socket.destroy();
});

test("a second signal ends the process at once", async () => {
  for (const [signal, code] of [["SIGTERM", 143] as const, ["SIGINT", 130] as const]) {
    const server = await startServer();
    const running = ask(server.openai, lengthy(4000)).catch(() => null);
    await until(server, ({ active_requests }) => active_requests === 1);
    server.child.kill("SIGTERM");
    await untilClosed(server.url);
    const begun = performance.now();
    server.child.kill(signal);
    expect(await server.child.exited).toBe(code);
    expect(performance.now() - begun).toBeLessThan(1000);
    await running;
    await server.stop();
  }
});

test("an idle server ends quickly", async () => {
  const server = await startServer();
  const begun = performance.now();
  expect(await server.stop()).toBe(0);
  expect(performance.now() - begun).toBeLessThan(1500);
});

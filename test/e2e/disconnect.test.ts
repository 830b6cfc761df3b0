import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { ask, askWhole, lengthy, type Question, say } from "./ask.ts";
import { expectGolden, goldenEntries, questionOf } from "./golden.ts";
import { heldBytes, isIdle, type Served, startServer, until } from "./serve.ts";

let server: Served;
let weights: number;
beforeAll(async () => {
  // Few places and small steps: every phase lasts long enough to be met.
  server = await startServer(["--max-batch-size", "2", "--max-tokens-per-step", "8"]);
  await ask(server.openai, lengthy(3));
  weights = heldBytes(await until(server, isIdle));
});
afterAll(() => server.stop());

const long = lengthy(3000);
const longPrompt: Question = { messages: say("word ".repeat(3500)), max_tokens: 5 };
const [hello, , , france] = goldenEntries;

type Way = typeof ask;
const ways: [name: string, way: Way][] = [
  ["streamed", ask],
  ["whole", askWhole],
];

/** Starts requests that are meant to be left. */
function begin(way: Way, questions: readonly Question[]) {
  const controller = new AbortController();
  const ended = Promise.allSettled(questions.map((question) => way(server.openai, question, { signal: controller.signal })));
  return {
    async leave() {
      controller.abort();
      await ended;
    },
  };
}

/** Nothing runs, waits or holds memory, and nothing is computed any more. */
async function expectEmpty(): Promise<void> {
  const { stats } = await until(server, (health) => isIdle(health) && heldBytes(health) <= weights, 10);
  await Bun.sleep(50);
  expect((await server.health()).stats.total_tokens).toBe(stats.total_tokens);
}

describe.each(ways)("a client that leaves, %s", (_, way) => {
  test("while it generates", async () => {
    const before = (await server.health()).stats.total_tokens;
    const left = begin(way, [long, long]);
    await until(server, ({ active_requests, stats }) => active_requests === 2 && stats.total_tokens > before + 20);
    await left.leave();
    await expectEmpty();
  });

  test("while its prompt is computed", async () => {
    const before = (await server.health()).stats.total_tokens;
    const left = begin(way, [longPrompt]);
    await until(server, ({ active_requests, stats }) => active_requests === 1 && stats.kv_bytes > 0);
    await left.leave();
    await expectEmpty();
    expect((await server.health()).stats.total_tokens).toBe(before);
  });

  test("while it waits; those that run and those that wait behind it are answered right", async () => {
    // They go on from what is known of them, long enough to be waited for.
    const known = [goldenEntries[15]!, goldenEntries[20]!];
    const running = known.map((entry) => ask(server.openai, { ...questionOf(entry), ignore_eos: true, max_tokens: 1000 }));
    await until(server, ({ active_requests }) => active_requests === 2);
    const left = begin(way, [long, longPrompt, { ...long, n: 3 }]);
    await until(server, ({ queue_size }) => queue_size === 5);
    const behind = [hello!, france!].map((entry) => ask(server.openai, questionOf(entry)));
    await until(server, ({ queue_size }) => queue_size === 7);
    await left.leave();
    await until(server, ({ queue_size }) => queue_size <= 2, 5);
    for (const [index, { choices, usage }] of (await Promise.all(running)).entries()) {
      expect(choices[0]!.text).toStartWith(known[index]!.completion_text);
      expect(usage?.completion_tokens).toBe(1000);
    }
    expectGolden(hello!, await behind[0]!);
    expectGolden(france!, await behind[1]!);
    await expectEmpty();
  });

  test("at any moment, in a crowd", async () => {
    const leaving = Array.from({ length: 24 }, async (_, index) => {
      await Bun.sleep(Math.random() * 400);
      const left = begin(way, [index % 3 === 0 ? longPrompt : lengthy(3000, index)]);
      await Bun.sleep(Math.random() * 600);
      await left.leave();
    });
    const staying = goldenEntries
      .slice(26, 31)
      .map(async (entry) => expectGolden(entry, await way(server.openai, questionOf(entry))));
    await Promise.all([...leaving, ...staying]);
    await expectEmpty();
  });
});

const post = (body: object, host = "test") => {
  const text = JSON.stringify(body);
  return `POST /v1/chat/completions HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
};

async function open(): Promise<Socket> {
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  return socket;
}

describe("a connection that ends", () => {
  // Requests with a very short host take another way in the server.
  for (const [stream, host] of [[true, "test"] as const, [false, "test"] as const, [true, "x"] as const, [false, "x"] as const]) {
    test(`without a word, ${stream ? "streamed" : "whole"}, host ${host}`, async () => {
      const socket = await open();
      socket.write(post({ ...long, stream }, host));
      await until(server, ({ active_requests }) => active_requests === 1);
      socket.resetAndDestroy();
      await expectEmpty();
    });
  }

  test("right behind its request, before anything is known of it", async () => {
    for (let i = 0; i < 50; i++) {
      const socket = await open();
      socket.write(post({ ...long, stream: i % 2 === 0 }), () => socket.destroy());
    }
    await expectEmpty();
    expectGolden(hello!, await ask(server.openai, questionOf(hello!)));
  });

  test("in the middle of its body", async () => {
    for (let i = 0; i < 20; i++) {
      const socket = await open();
      socket.write(post(long).slice(0, -20 - i), () => socket.destroy());
    }
    await Bun.sleep(50);
    await expectEmpty();
    expectGolden(hello!, await ask(server.openai, questionOf(hello!)));
  });
});

test("a stream that its reader leaves early by `break`", async () => {
  const events = await server.openai.chat.completions.create({
    model: "default",
    messages: [{ role: "user", content: "Tell me a story." }],
    max_tokens: 3000,
    stream: true,
    ...{ ignore_eos: true },
  });
  let pieces = 0;
  for await (const _ of events) if (++pieces === 10) break;
  await expectEmpty();
});

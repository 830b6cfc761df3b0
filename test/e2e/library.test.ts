import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { treaty } from "@elysiajs/eden";
import { type ChatMessage, ContinuousBatchingServer, createApp, InvalidRequest, StartupError, Unavailable } from "mlx-cb-serve";
import { goldenEntries, nearTie } from "./golden.ts";

const directory = join(import.meta.dir, "../../src/assets/tiny-chat");
const hello = goldenEntries[0]!;
const messages = [{ role: "user", content: "Hello!" }];

async function readAll(generation: AsyncIterable<{ text: string }>): Promise<string> {
  let text = "";
  for await (const chunk of generation) text += chunk.text;
  return text;
}

describe("the library", () => {
  let server: ContinuousBatchingServer;
  beforeAll(async () => {
    server = new ContinuousBatchingServer(directory, { maxBatchSize: 8 });
    await server.load();
  });
  afterAll(() => server.close());

  test("generates from a conversation, a text and token ids", async () => {
    const chat = await server.generate({ messages, temperature: 0 });
    expect(await readAll(chat)).toBe(hello.completion_text);
    expect(chat.completionTokenCount).toBe(hello.completion_token_ids.length + 1);
    const prompt = server.renderChat(messages);
    expect(await readAll(await server.generate({ prompt, temperature: 0 }))).toBe(hello.completion_text);
    const ids = await server.encode(prompt, { addSpecialTokens: false });
    expect(await readAll(await server.generate({ prompt: ids, temperature: 0, maxTokens: 3 }))).toBe("Hello! I");
  });

  test("many at once", async () => {
    const texts = await Promise.all(
      Array.from({ length: 20 }, async () => readAll(await server.generate({ messages, temperature: 0 }))),
    );
    expect(texts).toEqual(Array<string>(20).fill(hello.completion_text));
  });

  test("a signal ends a generation with an error, at any time", async () => {
    const during = new AbortController();
    let pieces = 0;
    const reading = (async () => {
      for await (const _ of await server.generate({ messages, ignoreEos: true, signal: during.signal })) {
        if (++pieces === 5) during.abort();
      }
    })();
    await expect(reading).rejects.toBeInstanceOf(Unavailable);
    const before = readAll(await server.generate({ messages, signal: AbortSignal.abort() }));
    await expect(Promise.race([before, Bun.sleep(2000)])).rejects.toBeInstanceOf(Unavailable);
    expect(server.stats()).toMatchObject({ activeRequests: 0, queueSize: 0 });
  });

  test("leaving the loop ends it", async () => {
    for await (const _ of await server.generate({ messages, ignoreEos: true })) break;
    await Bun.sleep(50);
    expect(server.stats()).toMatchObject({ activeRequests: 0, queueSize: 0, kvBytes: 0 });
  });

  test("says what is wrong with a request before anything is computed", async () => {
    await expect(server.generate({ prompt: [], maxTokens: 3 })).rejects.toBeInstanceOf(InvalidRequest);
    await expect(server.generate({ prompt: [5000], maxTokens: 3 })).rejects.toBeInstanceOf(InvalidRequest);
    await expect(server.generate({ prompt: "word ".repeat(5000) })).rejects.toMatchObject({ code: "context_length_exceeded" });
  });

  test("the app answers typed requests, without a socket", async () => {
    const api = treaty(createApp(server, { version: "1.2.3" }));
    const { data } = await api.v1.chat.completions.post({ messages: [{ role: "user", content: "Hello!" }], temperature: 0 });
    const content: string | null | undefined = data?.choices[0]?.message.content;
    expect(content).toBe(hello.completion_text);
    const { data: health } = await api.health.get();
    const active: number | undefined = health?.active_requests;
    expect(active).toBe(0);
    // @ts-expect-error: there is no such route
    expect((await api.v1.nothing.get()).status).toBe(404);
  });
});

test("what cannot be loaded is a StartupError, and a closed server takes nothing", async () => {
  await expect(new ContinuousBatchingServer("/no/such/directory").load()).rejects.toBeInstanceOf(StartupError);
  const server = new ContinuousBatchingServer(directory);
  await expect(server.generate({ messages })).rejects.toBeInstanceOf(Unavailable);
  await server.load();
  const running = readAll(await server.generate({ messages, temperature: 0 }));
  const closing = server.close({ graceMs: 10_000 });
  await expect(server.generate({ messages })).rejects.toBeInstanceOf(Unavailable);
  expect(await running).toBe(hello.completion_text);
  await closing;
  await expect(server.generate({ messages })).rejects.toBeInstanceOf(Unavailable);
});

test("two servers in one process do not disturb each other", async () => {
  const servers = [new ContinuousBatchingServer(directory), new ContinuousBatchingServer(directory)];
  for (const server of servers) await server.load();
  const texts = await Promise.all(servers.map(async (server) => readAll(await server.generate({ messages, temperature: 0 }))));
  await servers[0]!.close();
  texts.push(await readAll(await servers[1]!.generate({ messages, temperature: 0 })));
  await servers[1]!.close();
  expect(texts).toEqual(Array<string>(3).fill(hello.completion_text));
});

test("golden conversations are answered the same while rows move between size classes", async () => {
  const server = new ContinuousBatchingServer(directory, { maxBatchSize: 12, maxTokensPerStep: 40, smallestSizeClass: 16 });
  await server.load();
  const answers = await Promise.all(
    goldenEntries.map(async ({ messages, tools, template_kwargs, id }) => {
      await Bun.sleep((id * 37) % 200);
      const options = { messages: messages as ChatMessage[], tools, kwargs: template_kwargs as Record<string, unknown> };
      return readAll(await server.generate({ ...options, temperature: 0, maxTokens: 200 }));
    }),
  );
  await server.close();
  goldenEntries.forEach(({ id, completion_text, min_margin }, index) => {
    // Where a decision was close, rounding may have changed it.
    if (min_margin >= nearTie) expect({ id, text: answers[index] }).toEqual({ id, text: completion_text });
    else expect(answers[index]).not.toBe("");
  });
});

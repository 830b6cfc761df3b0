import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ContinuousBatchingServer, type Generation, Unavailable } from "../../src/index.ts";
import { Prng } from "./prng.ts";
import { COUNTING, collect, GOLDEN, request, settle, startServer } from "./tiny-chat.ts";

let server: ContinuousBatchingServer;
beforeAll(async () => {
  server = await startServer({ maxBatchSize: 3, maxTokensPerStep: 16, smallestSizeClass: 64 });
});
afterAll(() => server.close());

const LONG_PROMPT = Array.from({ length: 3000 }, (_, i) => 300 + (i % 3000));
const count = (maxTokens: number, signal?: AbortSignal) =>
  server.submit(request(COUNTING.prompt_token_ids, { maxTokens }), signal);
const readLong = (signal?: AbortSignal) => server.submit(request(LONG_PROMPT, { maxTokens: 5 }), signal);

async function waitUntil(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 3000; i++) {
    if (condition()) return;
    await Bun.sleep(1);
  }
  throw new Error("it does not come to that");
}

/** Brings a generation into a phase, with others around it; `stop` ends it, by its handle or by a signal. */
interface Phase {
  name: string;
  start(signal?: AbortSignal): Promise<Generation>;
}

const phases: Phase[] = [
  {
    name: "waiting in the queue",
    start: async (signal) => {
      const before = [count(60), count(60), count(60)];
      for (const generation of before) void collect(generation);
      await waitUntil(() => server.stats().activeRequests === 3);
      const generation = count(60, signal);
      await Bun.sleep(3);
      expect(server.stats().queueSize).toBe(1);
      return generation;
    },
  },
  {
    name: "computing its prompt",
    start: async (signal) => {
      void collect(count(60));
      const generation = readLong(signal);
      await waitUntil(() => server.stats().activeRequests === 2);
      await Bun.sleep(10);
      expect(generation.completionTokenCount).toBe(0);
      return generation;
    },
  },
  {
    name: "decoding",
    start: async (signal) => {
      void collect(count(60));
      const generation = count(200, signal);
      await waitUntil(() => generation.completionTokenCount >= 5);
      return generation;
    },
  },
  {
    name: "not yet begun",
    start: async (signal) => {
      void collect(count(10));
      return count(60, signal);
    },
  },
];

describe.each(phases)("a request that is $name", ({ start }) => {
  test("ends when it is cancelled, and nothing of it stays", async () => {
    const generation = await start();
    const { activeRequests, queueSize } = server.stats();
    generation.cancel();
    const after = server.stats();
    expect(after.activeRequests + after.queueSize).toBe(activeRequests + queueSize - 1);
    const given = generation.completionTokenCount;
    await expect(collect(generation)).rejects.toThrow(Unavailable);
    await settle(server);
    expect(generation.completionTokenCount).toBe(given);
  });

  test("ends when its signal says so", async () => {
    const controller = new AbortController();
    const generation = await start(controller.signal);
    const reading = collect(generation);
    const before = server.stats();
    controller.abort();
    const after = server.stats();
    expect(after.activeRequests + after.queueSize).toBe(before.activeRequests + before.queueSize - 1);
    await expect(reading).rejects.toThrow(Unavailable);
    await settle(server);
  });

  test("ends when its reader goes", async () => {
    const generation = await start();
    const iterator = generation[Symbol.asyncIterator]();
    if (generation.completionTokenCount > 0) expect((await iterator.next()).done).toBe(false);
    generation.cancel();
    await iterator.return?.(undefined);
    await settle(server);
  });
});

test("a reader that leaves its loop ends the request, the others go on", async () => {
  const other = collect(count(50));
  let pieces = 0;
  for await (const { tokens } of count(200)) {
    pieces += tokens.length;
    if (pieces >= 3) break;
  }
  expect(server.stats().activeRequests).toBe(1);
  expect((await other).ids).toEqual(COUNTING.completion_token_ids.slice(0, 50));
  await settle(server);
});

test("a signal that was aborted before has nothing computed", async () => {
  const before = server.stats().totalTokens;
  const generation = count(20, AbortSignal.abort());
  expect(server.stats().activeRequests + server.stats().queueSize).toBe(0);
  await expect(collect(generation)).rejects.toThrow(Unavailable);
  expect(server.stats().totalTokens).toBe(before);
});

test("cancelling what has ended does nothing", async () => {
  const controller = new AbortController();
  const generation = count(5, controller.signal);
  const { ids } = await collect(generation);
  generation.cancel();
  controller.abort();
  expect(ids).toEqual(COUNTING.completion_token_ids.slice(0, 5));
  expect(generation.completionTokenCount).toBe(5);
  await settle(server);
});

test("of many that are cancelled at random times each ends once, and the rest are right", async () => {
  const random = new Prng(8);
  const outcomes = await Promise.all(
    Array.from({ length: 120 }, async (_, i) => {
      const entry = GOLDEN[i % 5]!;
      await Bun.sleep(random.int(0, 150));
      const controller = new AbortController();
      const generation = server.submit(request(entry.prompt_token_ids, { maxTokens: 12 }), controller.signal);
      if (random.chance(0.6)) setTimeout(() => controller.abort(), random.int(0, 120));
      try {
        const { ids } = await collect(generation);
        expect(ids.slice(0, 10)).toEqual(
          entry.completion_token_ids.slice(0, 10).concat(ids.slice(entry.completion_token_ids.length)).slice(0, 10),
        );
        return "finished";
      } catch (error) {
        expect(error).toBeInstanceOf(Unavailable);
        return "cancelled";
      }
    }),
  );
  for (const outcome of ["finished", "cancelled"]) expect(outcomes.filter((one) => one === outcome).length).toBeGreaterThan(20);
  await settle(server);
});

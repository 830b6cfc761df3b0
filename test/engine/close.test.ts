import { describe, expect, spyOn, test } from "bun:test";
import { ContinuousBatchingServer, EngineFailure, Unavailable } from "../../src/index.ts";
import { KvPool } from "../../src/kv/pool.ts";
import { floats, liveArrays } from "../../src/mlx/array.ts";
import { activeMemory } from "../../src/mlx/memory.ts";
import * as mx from "../../src/mlx/ops.ts";
import { type DirectEngine, startEngine } from "./direct-engine.ts";
import { COUNTING, collect, GOLDEN, request, startServer, TINY_CHAT } from "./tiny-chat.ts";

const counting = (maxTokens: number) => request(COUNTING.prompt_token_ids, { maxTokens });

describe("closing", () => {
  test("lets what runs finish and takes nothing new", async () => {
    const server = await startServer({ maxBatchSize: 2 });
    const readings = [60, 80, 40].map((maxTokens) => collect(server.submit(counting(maxTokens))));
    await Bun.sleep(5);
    const closed = server.close({ graceMs: 20_000 });
    expect(server.status).toBe("stopping");
    expect(() => server.submit(counting(1))).toThrow(Unavailable);
    await expect(server.generate({ prompt: "Hello" })).rejects.toThrow(Unavailable);
    const answers = await Promise.all(readings);
    expect(answers.map(({ ids }) => ids.length)).toEqual([60, 80, 40]);
    await closed;
    expect(server.stats()).toMatchObject({ activeRequests: 0, queueSize: 0, kvBytes: 0 });
  });

  test("cancels what takes longer than the grace", async () => {
    const server = await startServer({ maxBatchSize: 1 });
    const readings = Promise.allSettled([server.submit(counting(4000)), server.submit(counting(10))].map(collect));
    await Bun.sleep(5);
    const begun = performance.now();
    await server.close({ graceMs: 30 });
    expect(performance.now() - begun).toBeLessThan(5000);
    for (const outcome of await readings) expect(outcome).toMatchObject({ status: "rejected", reason: expect.any(Unavailable) });
  });

  test("twice, at once, or before anything was loaded is all right", async () => {
    const server = await startServer();
    await Promise.all([server.close(), server.close()]);
    await server.close();
    const unused = new ContinuousBatchingServer(TINY_CHAT);
    await unused.close();
    expect(unused.status).toBe("loading");
    expect(() => unused.submit(counting(1))).toThrow(Unavailable);
  });

  test("gives weights and caches back", async () => {
    const load = async () => {
      const server = await startServer();
      await collect(server.submit(counting(5)));
      await server.close();
      return { arrays: liveArrays(), memory: activeMemory() };
    };
    const first = await load();
    await load();
    const third = await load();
    // The table of angles of each model, some bytes, may stay.
    expect(third.arrays - first.arrays).toBeLessThanOrEqual(2);
    expect(third.memory - first.memory).toBeLessThan(10_000);
  });
});

describe("a step that fails", () => {
  const failures: [name: string, step: number, forward: NonNullable<Parameters<typeof startEngine>[0]>["forward"]][] = [
    ["when it is built", 6, (batch, step, own) => (step < 6 ? own(batch) : fail("built wrongly"))],
    ["at once", 1, () => fail("built wrongly")],
    [
      "when it is computed",
      6,
      (batch, step, own) => (step < 6 ? own(batch) : mx.takeAlongAxis(own(batch), floats([0], [1, 1]), 0)),
    ],
  ];
  const fail = (message: string): never => {
    throw new RangeError(message);
  };

  /** What becomes of requests in all phases. */
  async function observe({ engine, failures, close }: DirectEngine) {
    const readings = GOLDEN.slice(0, 8).map(({ prompt_token_ids }) =>
      collect(engine.submit(request(prompt_token_ids, { ignoreEos: true, maxTokens: 200 }))),
    );
    const outcomes = await Promise.allSettled(readings);
    await Bun.sleep(5);
    return { outcomes, failures, close };
  }

  test.each(failures)("%s ends all that runs and waits, and nothing is taken afterwards", async (_name, _step, forward) => {
    const direct = await startEngine({ forward, maxBatchSize: 3 });
    const { outcomes } = await observe(direct);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: "rejected", reason: expect.any(EngineFailure) });
    expect(direct.failures.length).toBe(1);
    expect(direct.failures[0]!.message).toMatch(/^The engine failed: (built wrongly|\[)/);
    expect(() => direct.engine.submit(counting(1))).toThrow(new Unavailable(direct.failures[0]!.message));
    expect([direct.engine.activeCount, direct.engine.queueSize, direct.engine.kvBytes]).toEqual([0, 0, 0]);
    await direct.close(1000);
  });

  test("leaves nothing behind once it is closed", async () => {
    const run = async () => {
      const direct = await startEngine({ forward: failures[0]![2] });
      await observe(direct);
      await direct.close();
      return activeMemory();
    };
    const first = await run();
    await run();
    expect((await run()) - first).toBeLessThan(50_000);
  });

  test("is what the server says of itself", async () => {
    const lines: { level: string; message: string }[] = [];
    const server = await startServer({ log: (line) => lines.push(line) });
    expect([server.status, server.failure]).toEqual(["ok", null]);
    await collect(server.submit(counting(3)));
    const spy = spyOn(KvPool.prototype, "open").mockImplementation(() => fail("no cache today"));
    try {
      await expect(collect(server.submit(counting(3)))).rejects.toThrow("The engine failed: no cache today");
    } finally {
      spy.mockRestore();
    }
    expect([server.status, server.failure]).toEqual(["failed", "The engine failed: no cache today"]);
    expect(lines.filter(({ level }) => level === "error").map(({ message }) => message)).toEqual([server.failure!]);
    expect(() => server.submit(counting(1))).toThrow(new Unavailable(server.failure!));
    await server.close({ graceMs: 1000 });
  });
});

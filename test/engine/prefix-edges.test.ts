import { afterEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { contentSizes, rowBytes } from "../../src/kv/row-size.ts";
import { liveArrays, openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { cacheMemory, clearCache } from "../../src/mlx/memory.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { loadModel } from "../../src/models/load.ts";
import { BYTES_PER_TOKEN, type DirectEngine, startEngine } from "./direct-engine.ts";
import { Prng } from "./prng.ts";
import { type Answer, collect, request } from "./tiny-chat.ts";

const parity = (name: string) => join(import.meta.dir, "../fixtures/parity", name);
let engines: DirectEngine[] = [];

afterEach(async () => {
  const ended = engines;
  engines = [];
  for (const { close } of ended) await close(1000);
  for (const { engine, failures } of ended) {
    expect([failures, engine.prefixNotes, engine.kvBytes, engine.prefixBytes]).toEqual([[], 0, 0, 0]);
  }
});

async function start(options: Parameters<typeof startEngine>[0]): Promise<DirectEngine> {
  const direct = await startEngine({ eosTokenIds: [], prefixCacheBytes: 2 ** 28, ...options });
  engines.push(direct);
  return direct;
}

const idsOf = (seed: number, count: number) => {
  const random = new Prng(seed);
  return Array.from({ length: count }, () => random.int(1, 90));
};

async function ask({ engine }: DirectEngine, prompt: readonly number[], options: Partial<GenerationRequest> = {}) {
  const generation = engine.submit({ ...request(prompt, { maxTokens: 8, logprobs: 0 }), ...options });
  const answer = await collect(generation);
  return { ...answer, cached: generation.cachedTokenCount };
}

/** The answer of an engine that keeps nothing. */
async function askCold(directory: string, prompt: readonly number[]): Promise<Answer> {
  const direct = await startEngine({ directory, eosTokenIds: [] });
  const answer = await ask(direct, prompt);
  await direct.close();
  return answer;
}

function expectSame(got: Answer, want: Answer): void {
  expect(got.ids).toEqual(want.ids);
  for (const [i, { logprob }] of got.tokens.entries()) expect(logprob).toBeCloseTo(want.tokens[i]!.logprob!, 3);
}

/** Bytes of a row for so many tokens, and of a block. */
async function sizesOf(directory: string) {
  openMlx(locateNativeLibrary(), true);
  const { model, dtype, free } = await loadModel(await openCheckpoint(directory));
  free();
  return {
    row: (capacity: number) => rowBytes(model.caches, dtype, capacity),
    ...contentSizes(model.caches, dtype, 64),
  };
}

test.each(["mamba2", "qwen3_next-stacked", "gpt_oss-mxfp4-q8"])(
  "%s: blocks that others push out in the step that makes them do no harm",
  async (name) => {
    const directory = parity(name);
    const { blockBytes, stateBytes } = await sizesOf(directory);
    const prompts = Array.from({ length: 8 }, (_, i) => idsOf(i + 1, 300));
    const before = liveArrays();
    const direct = await start({ directory, maxTokensPerStep: 1000, prefixCacheBytes: 3 * blockBytes + 1.5 * stateBytes + 2000 });
    const answers = await Promise.all(prompts.map((prompt) => ask(direct, prompt)));
    for (const i of [0, 7]) expectSame(answers[i]!, await askCold(directory, prompts[i]!));
    await direct.close();
    expect(liveArrays()).toBe(before);
  },
);

test("blocks that were copied into a ring and are gone from the cache are not kept anew from what the ring holds now", async () => {
  const directory = parity("mistral-sliding");
  const { row, blockBytes } = await sizesOf(directory);
  const shared = idsOf(1, 1400);
  const want = await askCold(directory, [...shared, 5, 6, 7]);
  for (const blocks of [6, 7, 16, 17]) {
    const kvBudgetBytes = row(2048) + row(256) + blocks * blockBytes + 3000;
    const direct = await start({ directory, maxTokensPerStep: 128, prefixCacheBytes: 2 ** 30, kvBudgetBytes });
    await ask(direct, shared);
    await Promise.all([ask(direct, idsOf(2, 150)), ask(direct, [...shared, 8, 9])]);
    expectSame(await ask(direct, [...shared, 5, 6, 7]), want);
  }
});

test.each([63, 64, 65, 127, 128, 129, 192])("a prompt of %i tokens is taken up but for its last token", async (length) => {
  const direct = await start({});
  const prompt = idsOf(length, length);
  const cold = await ask(direct, prompt);
  const warm = await ask(direct, prompt);
  expect([cold.cached, warm.cached]).toEqual([0, Math.floor((length - 1) / 64) * 64]);
  expectSame(warm, cold);
  expect((await ask(direct, prompt, { maxTokens: 1 })).ids).toEqual(cold.ids.slice(0, 1));
  expect(await ask(direct, prompt, { maxTokens: 0 })).toMatchObject({ ids: [], finishReason: "length", cached: 0 });
});

test("a prefix taken up into the smallest row moves up with it, class by class", async () => {
  for (const name of ["mistral-sliding", "falcon_h1", "deepseek_v3-q4"]) {
    const directory = parity(name);
    const direct = await start({ directory, smallestSizeClass: 16 });
    const prompt = idsOf(3, 130);
    const cold = await startEngine({ directory, eosTokenIds: [] });
    const want = await ask(cold, prompt, { maxTokens: 200 });
    await cold.close();
    await ask(direct, prompt);
    const warm = await ask(direct, prompt, { maxTokens: 200 });
    expect(warm.cached).toBe(128);
    expectSame(warm, want);
  }
});

test("reuse begins wherever a step has left off, beyond the window", async () => {
  const directory = parity("llama4-chunked");
  const prompt = idsOf(4, 900);
  const want = await askCold(directory, prompt);
  for (const maxTokensPerStep of [7, 64, 100]) {
    const direct = await start({ directory, maxTokensPerStep });
    // Those who come later catch up with the first one in the middle of its prompt.
    const answers = await Promise.all([0, 10, 25].map(async (ms) => Bun.sleep(ms).then(() => ask(direct, prompt))));
    for (const answer of answers) expectSame(answer, want);
    expect(direct.computed()).toBeLessThan(2 * 900);
  }
});

describe("put back to the queue", () => {
  test("a sequence finds its own blocks, which do not count as cached", async () => {
    const direct = await start({ maxBatchSize: 1, maxTokensPerStep: 16 });
    const prompt = idsOf(5, 1200);
    await ask(direct, prompt.slice(0, 330), { maxTokens: 1 });
    const slow = direct.engine.submit({ ...request(prompt, { maxTokens: 2 }), background: true });
    const answer = collect(slow);
    while (direct.computed() < 330 + 500) await Bun.sleep(0);
    expect(slow.cachedTokenCount).toBe(320);
    await ask(direct, idsOf(6, 10));
    await answer;
    expect(slow.cachedTokenCount).toBe(320);
    expect(direct.computed()).toBeLessThan(330 + (1200 - 320) + 18 + 64 + 16 + 2);
  });

  test("nobody waits for what one in the background would compute", async () => {
    const direct = await start({ maxBatchSize: 4, maxTokensPerStep: 32 });
    const shared = idsOf(7, 600);
    const ends: string[] = [];
    const noting = async (name: string, prompt: readonly number[], background: boolean) => {
      await ask(direct, prompt, { background });
      ends.push(name);
    };
    const behind = noting("behind", shared, true);
    while (direct.computed() < 64) await Bun.sleep(0);
    await Promise.all([noting("long", idsOf(8, 2500), false), noting("short", shared, false), behind]);
    expect(ends[0]).toBe("short");
  });
});

test("where nothing can be kept, nobody waits for anybody", async () => {
  let steps = 0;
  const forward: NonNullable<Parameters<typeof startEngine>[0]>["forward"] = (batch, step, own) => {
    steps = step;
    return own(batch);
  };
  const direct = await start({ forward, prefixCacheBytes: 1000, maxTokensPerStep: 4096 });
  const prompt = idsOf(9, 200);
  await Promise.all(Array.from({ length: 12 }, () => ask(direct, prompt, { maxTokens: 1 })));
  expect(steps).toBeLessThan(6);
  expect(direct.engine.prefixBytes).toBe(0);
});

test("an engine with memory for less than a block answers what fits and refuses the rest", async () => {
  const direct = await start({ smallestSizeClass: 16, kvBudgetBytes: 40 * BYTES_PER_TOKEN });
  expect((await ask(direct, idsOf(10, 20))).ids.length).toBe(8);
  expect(() => direct.engine.submit(request(idsOf(10, 40)))).toThrow("do not fit into the memory");
  expect(direct.engine.prefixBytes).toBe(0);
});

test("an engine at rest readies memory for blocks, within its limit, and gives it back in the end", async () => {
  clearCache();
  const before = cacheMemory();
  const direct = await start({ prefixCacheBytes: 2 ** 25 });
  while (cacheMemory() - before < 0.9 * 2 ** 25) await Bun.sleep(5);
  expect(cacheMemory() - before).toBeWithin(0.9 * 2 ** 25, 2 ** 25);
  expect((await ask(direct, idsOf(13, 300))).ids.length).toBe(8);
  await direct.close();
  clearCache();
  expect(cacheMemory()).toBeLessThanOrEqual(before);
});

test("16 choices of one prompt compute it once; those that go away hold nobody up", async () => {
  const direct = await start({ maxTokensPerStep: 64 });
  const prompt = idsOf(11, 500);
  const generations = Array.from({ length: 16 }, (_, i) => direct.engine.submit(request(prompt, { maxTokens: 3, seed: i })));
  const answers = generations.map((generation) => collect(generation).catch(() => null));
  while (direct.computed() < 100) await Bun.sleep(0);
  for (const i of [0, 1, 9]) generations[i]!.cancel();
  const ids = (await Promise.all(answers)).flatMap((answer) => (answer ? [answer.ids] : []));
  expect(ids).toEqual(Array(13).fill(ids[0]));
  expect(direct.computed()).toBeLessThan(500 + 64 * 3 + 16 * (500 - 448) + 16 * 3);
});

test("keys of a long prompt are made bit by bit, and a request that goes away meanwhile leaves nothing", async () => {
  const direct = await start({ directory: parity("mamba2"), contextLength: 200_000, maxTokensPerStep: 8192 });
  const prompt = idsOf(12, 100_000);
  const gone = direct.engine.submit(request(prompt, { maxTokens: 1 }));
  gone.cancel();
  await expect(collect(gone)).rejects.toThrow("cancelled");
  const aborted = new AbortController();
  const other = direct.engine.submit(request(prompt, { maxTokens: 1 }), aborted.signal);
  await new Promise((resolve) => setImmediate(resolve));
  aborted.abort();
  await expect(collect(other)).rejects.toThrow("cancelled");
  expect((await ask(direct, prompt.slice(0, 20_000), { maxTokens: 1 })).cached).toBe(0);
  expect((await ask(direct, prompt.slice(0, 20_000), { maxTokens: 1 })).cached).toBe(19_968);
});

test("a number of log-probabilities that is none is refused", async () => {
  const direct = await start({});
  for (const logprobs of [-1, -1e9, 1.5, Number.NaN]) {
    expect(() => direct.engine.submit(request([1, 2], { logprobs }))).toThrow("is no number of log-probabilities");
  }
});

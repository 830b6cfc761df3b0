import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { liveArrays } from "../../src/mlx/array.ts";
import { DiskStore } from "../../src/prefix/disk-store.ts";
import { type DirectEngine, startEngine } from "./direct-engine.ts";
import { Prng } from "./prng.ts";
import { collect, request, TINY_CHAT } from "./tiny-chat.ts";

let engines: DirectEngine[] = [];

afterEach(async () => {
  for (const { close } of engines) await close();
  engines = [];
});

async function start(options: Parameters<typeof startEngine>[0]): Promise<DirectEngine> {
  const engine = await startEngine({ eosTokenIds: [], prefixCacheBytes: 2 ** 28, ...options });
  engines.push(engine);
  return engine;
}

const randomIds = (random: Prng, count: number, vocab = 90) => Array.from({ length: count }, () => random.int(1, vocab));

/** Prompts of a conversation: each is the one before with an answer and something new, shortened or edited now and then. */
function conversation(random: Prng, common: readonly number[]): number[][] {
  const prompts: number[][] = [];
  let text = [...common, ...randomIds(random, random.int(1, 90))];
  for (let turn = 0; turn < 3; turn++) {
    prompts.push(text);
    text = [...text, ...randomIds(random, random.int(1, 120))];
    if (random.chance(0.3)) text = text.slice(0, random.int(60, text.length));
    if (random.chance(0.3)) text[random.int(0, text.length - 1)] = random.int(1, 90);
  }
  return prompts;
}

interface Run {
  ids: number[];
  cached: number;
}

/** Asks conversations beside each other, each turn after the one before it has been answered. */
function askAll({ engine }: DirectEngine, conversations: readonly number[][][]): Promise<Run[][]> {
  return Promise.all(
    conversations.map(async (prompts) => {
      const runs: Run[] = [];
      for (const prompt of prompts) {
        const generation = engine.submit(request(prompt, { maxTokens: 8 }));
        const { ids } = await collect(generation);
        runs.push({ ids, cached: generation.cachedTokenCount });
      }
      return runs;
    }),
  );
}

const PARITY = join(import.meta.dir, "../fixtures/parity");
/** Those with learned positions have room for too few tokens; `test/parity/reuse.test.ts` has them as well. */
const SHORT = ["gpt2", "gpt_bigcode"];
const models = readdirSync(PARITY).filter((name) => existsSync(join(PARITY, name, "case.json")) && !SHORT.includes(name));

describe("random conversations that branch, are cut and edited, in a crowd: the tokens of a server without a cache", () => {
  test.each(["tiny-chat", ...models])("%s", async (name) => {
    const directory = name === "tiny-chat" ? TINY_CHAT : join(PARITY, name);
    const random = new Prng(models.indexOf(name) + 3);
    const common = randomIds(random, 150);
    const conversations = Array.from({ length: 5 }, () => conversation(random, common));
    const cold = await askAll(await start({ directory, prefixCacheBytes: 0 }), conversations);
    const cached = await start({ directory, maxTokensPerStep: 96 });
    const warm = await askAll(cached, conversations);
    expect(warm.map((runs) => runs.map(({ ids }) => ids))).toEqual(cold.map((runs) => runs.map(({ ids }) => ids)));
    expect(cold.flat().every(({ cached: tokens }) => tokens === 0)).toBe(true);
    expect(warm.flat().filter(({ cached: tokens }) => tokens > 0).length).toBeGreaterThan(5);
    expect(cached.engine.prefixBytes).toBeGreaterThan(0);
    expect(cached.failures).toEqual([]);
  });
});

describe("a directory of blocks: the next engine takes up what the one before has computed", () => {
  test.each(["tiny-chat", ...models])("%s", async (name) => {
    const directory = name === "tiny-chat" ? TINY_CHAT : join(PARITY, name);
    const blocks = mkdtempSync(join(tmpdir(), "mlx-cb-prefix-"));
    const prompt = randomIds(new Prng(models.indexOf(name) + 40), 700);
    const run = async () => {
      const prefixStore = await DiskStore.open({ directory: blocks, limitBytes: 2 ** 30 });
      const direct = await startEngine({
        directory,
        eosTokenIds: [],
        prefixCacheBytes: 2 ** 28,
        prefixStore,
        modelIdentity: name,
      });
      const generation = direct.engine.submit(request(prompt, { maxTokens: 6 }));
      const { ids } = await collect(generation);
      await direct.close();
      return { ids, cached: generation.cachedTokenCount };
    };
    try {
      const cold = await run();
      const warm = await run();
      expect(cold.cached).toBe(0);
      expect(warm.ids).toEqual(cold.ids);
      expect(warm.cached).toBe(640);
    } finally {
      rmSync(blocks, { recursive: true, force: true });
    }
  });
});

const kinds = ["tiny-chat", "mistral-sliding", "llama4-chunked", "deepseek_v3-q4", "gemma3n", "mamba2", "qwen3_next-stacked"];
test.each(kinds)("%s: equal prompts at the same time are computed once, but for their ends", async (name) => {
  const directory = name === "tiny-chat" ? TINY_CHAT : join(PARITY, name);
  const prompt = randomIds(new Prng(1), 400);
  const single = await start({ directory });
  const alone = await collect(single.engine.submit(request(prompt, { maxTokens: 1 })));
  const direct = await start({ directory, maxTokensPerStep: 64 });
  const answers = await Promise.all(
    Array.from({ length: 12 }, () => collect(direct.engine.submit(request(prompt, { maxTokens: 1 })))),
  );
  for (const { ids } of answers) expect(ids).toEqual(alone.ids);
  // 384 tokens in whole blocks once, the last 16 by each; one may have begun before it saw that another had.
  expect(direct.computed()).toBeLessThan(384 + 12 * 16 + 64);
});

test("the one that computes for others goes away: another takes over", async () => {
  const prompt = randomIds(new Prng(2), 600);
  const direct = await start({ maxTokensPerStep: 32 });
  const first = direct.engine.submit(request(prompt, { maxTokens: 2 }));
  const second = direct.engine.submit(request(prompt, { maxTokens: 2 }));
  await Bun.sleep(5);
  first.cancel();
  expect((await collect(second)).ids.length).toBe(2);
  expect(direct.failures).toEqual([]);
});

test("the next turn takes up the model's own answer", async () => {
  const direct = await start({});
  const prompt = randomIds(new Prng(3), 70);
  const { ids } = await collect(direct.engine.submit(request(prompt, { maxTokens: 130 })));
  const next = direct.engine.submit(request([...prompt, ...ids, ...randomIds(new Prng(4), 20)], { maxTokens: 1 }));
  await collect(next);
  expect(next.cachedTokenCount).toBe(192);
});

test("salts and adapters keep prefixes apart; at least one token is computed", async () => {
  const direct = await start({});
  const prompt = randomIds(new Prng(5), 128);
  const cachedOf = async (cacheSalt?: string) => {
    const generation = direct.engine.submit({
      ...request(prompt, { maxTokens: 1 }),
      ...(cacheSalt !== undefined && { cacheSalt }),
    });
    await collect(generation);
    return generation.cachedTokenCount;
  };
  expect([await cachedOf(), await cachedOf(), await cachedOf("a"), await cachedOf("a"), await cachedOf("b")]).toEqual([
    0, 64, 0, 64, 0,
  ]);
  expect(direct.engine.prefixHitRate).toBe((2 * 64) / (5 * 128));
  const gone = direct.engine.submit(request(prompt, { maxTokens: 1 }));
  gone.cancel();
  await expect(collect(gone)).rejects.toThrow("cancelled");
  expect(direct.engine.prefixHitRate).toBe((2 * 64) / (5 * 128));
  expect(await direct.engine.clearPrefixCache()).toBeGreaterThan(0);
  expect([direct.engine.prefixBytes, await cachedOf()]).toEqual([0, 0]);
});

test("live rows go before kept blocks: with little memory everything is answered, and nothing is left at the end", async () => {
  const before = liveArrays();
  const direct = await startEngine({ eosTokenIds: [], prefixCacheBytes: 2 ** 24, kvBudgetBytes: 2 ** 24, maxBatchSize: 8 });
  const random = new Prng(6);
  const common = randomIds(random, 100);
  const conversations = Array.from({ length: 10 }, () => conversation(random, common));
  const runs = await askAll(direct, conversations);
  expect(runs.flat().every(({ ids }) => ids.length === 8)).toBe(true);
  expect(direct.engine.prefixBytes).toBeLessThanOrEqual(2 ** 24);
  expect(direct.failures).toEqual([]);
  await direct.close();
  expect(liveArrays()).toBe(before);
});

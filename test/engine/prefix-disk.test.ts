import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { liveArrays } from "../../src/mlx/array.ts";
import { DiskStore } from "../../src/prefix/disk-store.ts";
import { type DirectEngine, startEngine } from "./direct-engine.ts";
import { Prng } from "./prng.ts";
import { COUNTING, collect, request } from "./tiny-chat.ts";

const scratch = mkdtempSync(join(tmpdir(), "mlx-cb-disk-"));
let directories = 0;
let engines: DirectEngine[] = [];

afterEach(async () => {
  const ended = engines;
  engines = [];
  for (const { close } of ended) await close(1000);
  for (const { engine, failures } of ended) expect([failures, engine.prefixNotes, engine.prefixBytes]).toEqual([[], 0, 0]);
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const fresh = () => join(scratch, String(directories++));
const openStore = (directory: string) => DiskStore.open({ directory, limitBytes: 2 ** 30 });
const filesIn = (directory: string) =>
  existsSync(directory) ? readdirSync(directory).flatMap((folder) => readdirSync(join(directory, folder))) : [];

async function start(prefixStore: DiskStore, options: Parameters<typeof startEngine>[0] = {}): Promise<DirectEngine> {
  const direct = await startEngine({ eosTokenIds: [], prefixCacheBytes: 2 ** 28, prefixStore, ...options });
  engines.push(direct);
  return direct;
}

const idsOf = (seed: number, count: number) => {
  const random = new Prng(seed);
  return Array.from({ length: count }, () => random.int(1, 90));
};

async function ask({ engine }: DirectEngine, prompt: readonly number[], signal?: AbortSignal) {
  const generation = engine.submit(request(prompt, { maxTokens: 4 }), signal);
  const { ids } = await collect(generation);
  return { ids, cached: generation.cachedTokenCount };
}

/** A directory in which the prompt's blocks are. */
async function warmUp(prompt: readonly number[], directory = fresh()): Promise<string> {
  const direct = await startEngine({ eosTokenIds: [], prefixCacheBytes: 2 ** 28, prefixStore: await openStore(directory) });
  await ask(direct, prompt);
  await direct.close();
  return directory;
}

/** A store whose reads take their time, and how many there were. */
async function openSlowly(directory: string, ms: number) {
  const store = await openStore(directory);
  const read = store.read.bind(store);
  const reads = { count: 0 };
  store.read = async (...want) => {
    reads.count++;
    await Bun.sleep(ms);
    return read(...want);
  };
  return { store, reads };
}

test("what the last request has computed is on disk when the engine is closed", async () => {
  for (const length of [64, 300]) expect(filesIn(await warmUp(idsOf(1, length))).length).toBe(Math.floor(length / 64));
});

describe("a disk that takes its time", () => {
  const prompt = idsOf(2, 330);

  test("holds up nobody else", async () => {
    const { store } = await openSlowly(await warmUp(prompt), 150);
    const direct = await start(store);
    const slow = ask(direct, prompt);
    const begun = performance.now();
    const { ids } = await collect(direct.engine.submit(request(COUNTING.prompt_token_ids, { maxTokens: 40 })));
    expect(ids).toEqual(COUNTING.completion_token_ids.slice(0, 40));
    expect(performance.now() - begun).toBeLessThan(700);
    expect((await slow).cached).toBe(320);
    expect(performance.now() - begun).toBeGreaterThan(740);
  });

  test("is asked for each block once, however many want it", async () => {
    const { store, reads } = await openSlowly(await warmUp(prompt), 5);
    const direct = await start(store);
    const answers = await Promise.all(Array.from({ length: 16 }, () => ask(direct, prompt)));
    expect(answers.map(({ cached }) => cached)).toEqual(Array(16).fill(320));
    expect(reads.count).toBe(5);
    expect(direct.computed()).toBe(16 * (10 + 3));
  });

  test("is not asked on for one that has gone away", async () => {
    const { store, reads } = await openSlowly(await warmUp(prompt), 60);
    const direct = await start(store);
    const controller = new AbortController();
    const gone = ask(direct, prompt, controller.signal);
    await Bun.sleep(20);
    controller.abort();
    await expect(gone).rejects.toThrow("cancelled");
    await Bun.sleep(200);
    expect(reads.count).toBe(1);
    expect((await ask(direct, prompt)).cached).toBe(320);
  });

  test("does not hold up the end, and leaves no array behind", async () => {
    const directory = await warmUp(prompt);
    const before = liveArrays();
    const { store } = await openSlowly(directory, 300);
    const direct = await startEngine({ eosTokenIds: [], prefixCacheBytes: 2 ** 28, prefixStore: store });
    const cut = ask(direct, prompt);
    await Bun.sleep(20);
    const begun = performance.now();
    const closing = direct.close(10);
    await expect(cut).rejects.toThrow("shutting down");
    await closing;
    expect(performance.now() - begun).toBeLessThan(200);
    await Bun.sleep(350);
    expect([liveArrays(), direct.engine.prefixBytes]).toEqual([before, 0]);
  });

  test("is given up when it hangs: the request is computed", async () => {
    const { store } = await openSlowly(await warmUp(prompt), 1e6);
    const direct = await start(store, { prefixPatienceMs: 50 });
    expect((await ask(direct, prompt)).cached).toBe(0);
  });
});

describe("what is forgotten does not come back", () => {
  const prompt = idsOf(3, 300);

  test("from copies that are under way to the disk", async () => {
    for (const ms of [0, 1, 3]) {
      const directory = fresh();
      const direct = await start(await openStore(directory));
      await ask(direct, prompt);
      await Bun.sleep(ms);
      await direct.engine.clearPrefixCache();
      await Bun.sleep(30);
      expect([direct.engine.prefixBytes, filesIn(directory)]).toEqual([0, []]);
      expect((await ask(direct, prompt)).cached).toBe(0);
    }
  });

  test("from reads that are under way, before and while the files are removed", async () => {
    const directory = await warmUp(prompt);
    const { store } = await openSlowly(directory, 30);
    const clear = store.clear.bind(store);
    store.clear = async () => {
      await Bun.sleep(100);
      await clear();
    };
    const direct = await start(store, { maxBatchSize: 1 });
    const first = ask(direct, prompt);
    await Bun.sleep(10);
    const cleared = direct.engine.clearPrefixCache();
    const second = ask(direct, [...prompt.slice(0, 200), 7]);
    await cleared;
    expect(filesIn(directory)).toEqual([]);
    expect([(await first).cached, (await second).cached]).toEqual([0, 192]);
    expect(direct.computed()).toBeGreaterThan(300);
  });
});

test("a directory that is removed while the engine runs is made anew", async () => {
  const directory = await warmUp(idsOf(4, 200));
  const direct = await start(await openStore(directory));
  rmSync(directory, { recursive: true });
  expect(await direct.engine.clearPrefixCache()).toBe(0);
  rmSync(directory, { recursive: true });
  expect((await ask(direct, idsOf(4, 200))).cached).toBe(0);
  await direct.close();
  expect(filesIn(directory).length).toBe(3);
});

test("two engines on one directory answer as one without", async () => {
  const directory = fresh();
  const random = new Prng(5);
  const common = idsOf(6, 200);
  const prompts = Array.from({ length: 16 }, () => [
    ...common.slice(0, random.int(1, 200)),
    ...idsOf(random.int(0, 5), random.int(1, 90)),
  ]);
  const cold = await startEngine({ eosTokenIds: [] });
  const want = await Promise.all(prompts.map((prompt) => ask(cold, prompt)));
  await cold.close();
  const both = [await start(await openStore(directory)), await start(await openStore(directory))];
  for (let round = 0; round < 2; round++) {
    const got = await Promise.all(prompts.map((prompt, i) => ask(both[(i + round) % 2]!, prompt)));
    expect(got.map(({ ids }) => ids)).toEqual(want.map(({ ids }) => ids));
  }
});

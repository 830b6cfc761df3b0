/** Runs random traffic through an engine that is short of everything, and compares it with the same requests one by one. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Generation, GenerationRequest } from "../../src/engine/request.ts";
import { EngineFailure, InvalidRequest, Overloaded, Unavailable } from "../../src/errors.ts";
import { liveArrays } from "../../src/mlx/array.ts";
import { DiskStore } from "../../src/prefix/disk-store.ts";
import { type DirectEngine, startEngine } from "./direct-engine.ts";
import { grammar, type ImitationGrammar } from "./imitation-grammar.ts";
import type { Prng } from "./prng.ts";
import type { StressJob } from "./stress-traffic.ts";
import { type Answer, collect } from "./tiny-chat.ts";

export interface StressOptions {
  directory: string;
  adapters: readonly { name: string; path: string }[];
  vocabSize: number;
  /** Bytes of the smallest row that takes the longest request. */
  longestRowBytes: number;
  /** Tokens of the longest prompt. */
  longest: number;
}

export type Outcome =
  | { kind: "answered"; answer: Answer; cachedTokens: number }
  /** Tokens that came before its reader went away, or the engine closed. */
  | { kind: "cut"; ids: number[] }
  | { kind: "failed" | "refused" };

const requestOf = ({ request, behaviour }: StressJob, grammars: ImitationGrammar[], vocabSize: number): GenerationRequest => {
  if (behaviour === null) return request;
  const made = grammar(behaviour, vocabSize);
  grammars.push(made);
  return { ...request, grammar: made };
};

/** Each request alone, on an engine that keeps nothing. */
export async function answerAlone(
  jobs: readonly StressJob[],
  { directory, adapters, vocabSize, longest }: StressOptions,
): Promise<Outcome[]> {
  const direct = await startEngine({ directory, adapters, maxBatchSize: 1 });
  const outcomes: Outcome[] = [];
  for (const job of jobs) {
    if (job.follows) {
      const { request } = jobs[job.follows.job]!;
      const before = outcomes[job.follows.job]!;
      const answer = before.kind === "answered" ? before.answer.ids : [];
      const promptTokens = [...request.promptTokens, ...answer, ...job.follows.more].slice(0, longest);
      job.request = {
        ...job.request,
        promptTokens,
        adapter: request.adapter,
        ...(request.cacheSalt && { cacheSalt: request.cacheSalt }),
      };
    }
    const request = requestOf(job, [], vocabSize);
    outcomes.push(
      await outcomeOf(direct.engine.submit({ ...request, background: false }), { ...job, reader: { kind: "patient" } }),
    );
  }
  await direct.close();
  return outcomes;
}

async function outcomeOf(generation: Generation, { reader, request }: StressJob, controller?: AbortController): Promise<Outcome> {
  const ids: number[] = [];
  const leave = reader.kind === "aborts" ? () => controller?.abort() : () => generation.cancel();
  const timer = "afterMs" in reader ? setTimeout(leave, reader.afterMs) : null;
  try {
    if (reader.kind === "ignores") {
      await Bun.sleep(reader.afterMs + 1);
      generation.cancel();
      return { kind: "cut", ids };
    }
    if (reader.kind === "leaves") {
      let chunks = 0;
      for await (const { tokens } of generation) {
        ids.push(...tokens.map(({ id }) => id));
        if (chunks++ >= reader.afterChunks) break;
      }
      return { kind: "cut", ids };
    }
    const answer = await collect(tapping(generation, ids));
    const { cachedTokenCount: cachedTokens } = generation;
    if (cachedTokens >= request.promptTokens.length)
      throw new Error(`${cachedTokens} of ${request.promptTokens.length} tokens cached`);
    return { kind: "answered", answer, cachedTokens };
  } catch (error) {
    if (error instanceof Unavailable) return { kind: "cut", ids };
    if (error instanceof EngineFailure && error.message.includes("held to its grammar")) return { kind: "failed" };
    throw error;
  } finally {
    if (timer) clearTimeout(timer);
  }
}

/** The generation, whose tokens are noted as they come. */
function tapping(generation: Generation, ids: number[]): Generation {
  return {
    ...generation,
    async *[Symbol.asyncIterator]() {
      for await (const chunk of generation) {
        ids.push(...chunk.tokens.map(({ id }) => id));
        yield chunk;
      }
    },
  };
}

export interface StressResult {
  outcomes: Outcome[];
  cachedTokens: number;
  computed: number;
  closedEarly: boolean;
  settings: Record<string, unknown>;
}

/** Throws when something is left behind or goes beyond its limit. */
export async function runCrowd(random: Prng, jobs: readonly StressJob[], options: StressOptions): Promise<StressResult> {
  const { directory, adapters, vocabSize, longestRowBytes } = options;
  const before = liveArrays();
  const blocks = random.chance(0.5) ? mkdtempSync(join(tmpdir(), "mlx-cb-stress-")) : null;
  const rough = random.chance(0.5);
  const closesAfterMs = random.chance(0.2) ? random.int(0, 400) : null;
  const settings = {
    maxBatchSize: random.pick([1, 3, 8, 16, 32]),
    maxTokensPerStep: random.pick([1, 16, 40, 64, 256, 700]),
    maxQueue: 1000,
    smallestSizeClass: random.pick([16, 64, 128, 256]),
    kvBudgetBytes: Math.floor(longestRowBytes * random.pick([1, 1.5, 2, 5, 50, 200])),
    prefixCacheBytes: Math.floor(longestRowBytes * random.pick([0.02, 0.3, 1, 20, 100])),
  };
  const writeFile = random.chance(0.3) ? slowOrFull(random) : undefined;
  const prefixStore =
    blocks === null
      ? null
      : await DiskStore.open({
          directory: blocks,
          limitBytes: random.pick([longestRowBytes, 2 ** 30]),
          queueBytes: random.pick([2 ** 16, 2 ** 28]),
          ...(writeFile && { writeFile }),
        });
  const direct = await startEngine({ directory, adapters, modelIdentity: directory, prefixStore, ...settings });
  const { engine } = direct;
  const grammars: ImitationGrammar[] = [];
  const problems: unknown[] = [];
  const watch = setInterval(() => {
    if (engine.kvBytes > settings.kvBudgetBytes) problems.push(`rows take ${engine.kvBytes} of ${settings.kvBudgetBytes}`);
    if (engine.prefixBytes > settings.prefixCacheBytes)
      problems.push(`blocks take ${engine.prefixBytes} of ${settings.prefixCacheBytes}`);
  }, 1);
  const unhandled = (error: unknown) => problems.push(error);
  process.on("unhandledRejection", unhandled);
  const vandal = vandalise(random, direct, blocks, rough ? Math.max(0, ...jobs.map(({ arrivesMs }) => arrivesMs)) : 1e6);
  try {
    const running: Promise<Outcome>[] = [];
    for (const job of jobs) {
      const run = async (): Promise<Outcome> => {
        await Bun.sleep(job.arrivesMs);
        if (job.follows) await running[job.follows.job];
        const controller = new AbortController();
        try {
          return await outcomeOf(engine.submit(requestOf(job, grammars, vocabSize), controller.signal), job, controller);
        } catch (error) {
          if (error instanceof Unavailable || error instanceof Overloaded || error instanceof InvalidRequest)
            return { kind: "refused" };
          throw error;
        }
      };
      running.push(run());
    }
    const all = Promise.all(running);
    if (closesAfterMs !== null) {
      await Bun.sleep(closesAfterMs);
      await within(20_000, engine.close(random.pick([0, 5, 50])), () => "close hangs");
    }
    const outcomes = await within(
      60_000,
      all,
      () => `a request hangs: ${JSON.stringify({ settings, active: engine.activeCount, queue: engine.queueSize })}`,
    );
    await vandal.stop();
    if (closesAfterMs === null) await rest(direct);
    await within(20_000, direct.close(), () => "close hangs");
    await Bun.sleep(20);
    if (direct.failures.length > 0) throw direct.failures[0]!;
    if (problems.length > 0) throw problems[0];
    if (liveArrays() !== before) throw new Error(`${liveArrays() - before} arrays are left`);
    for (const { made, disposed } of grammars)
      if (made !== disposed) throw new Error(`${made} matchers, ${disposed} disposed of`);
    const cachedTokens = outcomes.reduce((sum, o) => sum + (o.kind === "answered" ? o.cachedTokens : 0), 0);
    return { outcomes, cachedTokens, computed: direct.computed(), closedEarly: closesAfterMs !== null, settings };
  } finally {
    clearInterval(watch);
    await vandal.stop();
    process.off("unhandledRejection", unhandled);
    if (blocks) rmSync(blocks, { recursive: true, force: true });
  }
}

async function within<T>(ms: number, promise: Promise<T>, complaint: () => string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(complaint())), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function rest({ engine }: DirectEngine): Promise<void> {
  const state = () => [engine.activeCount, engine.queueSize, engine.kvBytes];
  for (let i = 0; state().some((n) => n > 0); i++) {
    if (i > 5000) throw new Error(`no rest: ${state()}`);
    await Bun.sleep(1);
  }
}

function slowOrFull(random: Prng) {
  const full = random.chance(0.5);
  let left = random.int(0, 30);
  return async (path: string, parts: readonly Uint8Array[]) => {
    if (full && left-- <= 0) throw new Error("ENOSPC");
    await Bun.sleep(random.int(0, 5));
    await Bun.write(path, new Blob(parts as Uint8Array<ArrayBuffer>[]));
  };
}

/** Forgets prefixes, harms files and removes them while requests run. */
function vandalise(random: Prng, { engine }: DirectEngine, blocks: string | null, spreadMs: number) {
  let stopped = false;
  const done = (async () => {
    while (!stopped) {
      const until = performance.now() + random.int(1, Math.max(2, spreadMs / 4));
      while (!stopped && performance.now() < until) await Bun.sleep(2);
      if (stopped) return;
      if (random.chance(0.3)) await engine.clearPrefixCache();
      if (blocks && random.chance(0.7)) harm(random, blocks);
    }
  })();
  return {
    stop: async () => {
      stopped = true;
      await done;
    },
  };
}

function harm(random: Prng, blocks: string): void {
  const files = readdirSync(blocks).flatMap((folder) =>
    readdirSync(join(blocks, folder)).map((name) => join(blocks, folder, name)),
  );
  for (const file of files) {
    if (!random.chance(0.3)) continue;
    try {
      if (random.chance(0.5)) rmSync(file);
      else {
        const bytes = readFileSync(file);
        bytes[random.int(0, bytes.length - 1)]! ^= 1;
        writeFileSync(file, bytes.subarray(0, random.chance(0.5) ? bytes.length : random.int(0, bytes.length)));
      }
    } catch {
      // Removed by the store meanwhile.
    }
  }
}

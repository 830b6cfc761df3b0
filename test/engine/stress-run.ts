/** Runs random traffic through an engine that is short of everything, and each request alone on one that is not. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Generation, GenerationRequest } from "../../src/engine/request.ts";
import { EngineFailure, InvalidRequest, Overloaded, Unavailable } from "../../src/errors.ts";
import { liveArrays } from "../../src/mlx/array.ts";
import { DiskStore } from "../../src/prefix/disk-store.ts";
import { type DirectEngine, startEngine } from "./direct-engine.ts";
import { grammar, type ImitationGrammar } from "./imitation-grammar.ts";
import type { Prng } from "./prng.ts";
import type { StressModel } from "./stress-models.ts";
import type { StressJob } from "./stress-traffic.ts";
import { vandalise, writeBadly } from "./stress-vandal.ts";
import { type Answer, collect } from "./tiny-chat.ts";

export type Outcome =
  | { kind: "answered"; answer: Answer; cachedTokens: number }
  /** Tokens that came before its reader went away, or the engine closed. */
  | { kind: "cut"; ids: number[] }
  /** Its matcher broke, or it was not taken. */
  | { kind: "failed" }
  | { kind: "refused" };

export function requestOf({ request, behaviour }: StressJob, vocabSize: number, grammars: ImitationGrammar[]): GenerationRequest {
  if (behaviour === null) return request;
  const made = grammar(behaviour, vocabSize);
  grammars.push(made);
  return { ...request, grammar: made };
}

/** Each request alone, on an engine that keeps nothing. Gives those that follow others their prompts. */
export async function answerAlone(
  jobs: readonly StressJob[],
  { directory, adapters, vocabSize, longest }: StressModel,
  maxTokensPerStep = 256,
): Promise<Outcome[]> {
  const direct = await startEngine({ directory, adapters, maxBatchSize: 1, maxTokensPerStep });
  const outcomes: Outcome[] = [];
  for (const job of jobs) {
    if (job.follows) {
      const { promptTokens, adapter, cacheSalt } = jobs[job.follows.job]!.request;
      const before = outcomes[job.follows.job]!;
      const answer = before.kind === "answered" ? before.answer.ids : [];
      const prompt = [...promptTokens, ...answer, ...job.follows.more].slice(0, longest);
      job.request = { ...job.request, promptTokens: prompt, adapter, ...(cacheSalt !== undefined && { cacheSalt }) };
    }
    const request = { ...requestOf(job, vocabSize, []), background: false };
    outcomes.push(await read(direct.engine.submit(request), { ...job, reader: { kind: "patient" } }));
  }
  await direct.close();
  return outcomes;
}

/** Reads as the job's reader does. */
async function read(generation: Generation, { reader, request }: StressJob, controller?: AbortController): Promise<Outcome> {
  const ids: number[] = [];
  const leave = reader.kind === "aborts" ? () => controller?.abort() : () => generation.cancel();
  const timer = "afterMs" in reader ? setTimeout(leave, reader.afterMs) : null;
  try {
    if (reader.kind === "ignores") {
      await Bun.sleep(reader.afterMs + 1);
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
    const answer = await collect(noteIds(generation, ids));
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
    generation.cancel();
  }
}

function noteIds(generation: Generation, ids: number[]): Generation {
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

function drawSettings(random: Prng, { longestRowBytes }: StressModel) {
  return {
    maxBatchSize: random.pick([1, 3, 8, 16, 32]),
    maxTokensPerStep: random.pick([1, 16, 40, 64, 256, 700]),
    maxQueue: 1000,
    smallestSizeClass: random.pick([16, 64, 128, 256]),
    kvBudgetBytes: Math.floor(longestRowBytes * random.pick([1, 1.5, 2, 5, 50, 200])),
    prefixCacheBytes: Math.floor(longestRowBytes * random.pick([0.02, 0.3, 1, 20, 100])),
  };
}

/** Throws when a request hangs, or something is left behind or goes beyond its limit. */
export async function runCrowd(random: Prng, jobs: readonly StressJob[], model: StressModel): Promise<Outcome[]> {
  const before = liveArrays();
  const blocks = random.chance(0.5) ? mkdtempSync(join(tmpdir(), "mlx-cb-stress-")) : null;
  const closesAfterMs = random.chance(0.2) ? random.int(0, 400) : null;
  const settings = drawSettings(random, model);
  const prefixStore = blocks === null ? null : await openStore(random, blocks, model);
  const { directory, adapters } = model;
  const direct = await startEngine({ directory, adapters, modelIdentity: directory, prefixStore, ...settings });
  const { engine, failures } = direct;
  const problems: unknown[] = [];
  const watch = setInterval(() => {
    if (engine.kvBytes > settings.kvBudgetBytes) problems.push(`rows take ${engine.kvBytes}`);
    if (engine.prefixBytes > settings.prefixCacheBytes) problems.push(`blocks take ${engine.prefixBytes}`);
  }, 1);
  const note = (error: unknown) => problems.push(error);
  process.on("unhandledRejection", note);
  const spreadMs = random.chance(0.5) ? Math.max(0, ...jobs.map(({ arrivesMs }) => arrivesMs)) : 1e6;
  const vandal = vandalise(random, engine, blocks, spreadMs);
  const grammars: ImitationGrammar[] = [];
  try {
    const all = submitAll(jobs, direct, model.vocabSize, grammars);
    if (closesAfterMs !== null) {
      await Bun.sleep(closesAfterMs);
      await within(20_000, engine.close(random.pick([0, 5, 50])), "close");
    }
    const outcomes = await within(60_000, all, "a request");
    await vandal.stop();
    if (closesAfterMs === null) await within(5000, comeToRest(direct), "the end of the last step");
    await within(20_000, direct.close(), "close");
    problems.push(...failures);
    if (liveArrays() !== before) problems.push(`${liveArrays() - before} arrays are left`);
    if (engine.prefixNotes + engine.prefixBytes + engine.kvBytes > 0)
      problems.push("something is noted of requests that are gone");
    if (grammars.some(({ made, disposed }) => made !== disposed)) problems.push("a matcher was not disposed of");
    if (problems.length > 0) throw problems[0];
    return outcomes;
  } catch (error) {
    throw new Error(`with ${JSON.stringify({ ...settings, blocks, closesAfterMs })}: ${error}`, { cause: error });
  } finally {
    clearInterval(watch);
    await vandal.stop();
    process.off("unhandledRejection", note);
    if (blocks) rmSync(blocks, { recursive: true, force: true });
  }
}

function openStore(random: Prng, directory: string, { longestRowBytes }: StressModel): Promise<DiskStore> {
  return DiskStore.open({
    directory,
    limitBytes: random.pick([longestRowBytes, 2 ** 30]),
    queueBytes: random.pick([2 ** 16, 2 ** 28]),
    ...(random.chance(0.3) && { writeFile: writeBadly(random) }),
  });
}

function submitAll(
  jobs: readonly StressJob[],
  { engine }: DirectEngine,
  vocabSize: number,
  grammars: ImitationGrammar[],
): Promise<Outcome[]> {
  const running: Promise<Outcome>[] = [];
  for (const job of jobs) {
    const run = async (): Promise<Outcome> => {
      await Bun.sleep(job.arrivesMs);
      if (job.follows) await running[job.follows.job];
      const controller = new AbortController();
      try {
        return await read(engine.submit(requestOf(job, vocabSize, grammars), controller.signal), job, controller);
      } catch (error) {
        if ([Unavailable, Overloaded, InvalidRequest].some((kind) => error instanceof kind)) return { kind: "refused" };
        throw error;
      }
    };
    running.push(run());
  }
  return Promise.all(running);
}

async function within<T>(ms: number, promise: Promise<T>, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} does not come to an end`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function comeToRest({ engine }: DirectEngine): Promise<void> {
  while (engine.activeCount + engine.queueSize + engine.kvBytes + engine.prefixNotes > 0) await Bun.sleep(1);
}

/** Random requests for one model: prompts that share beginnings, every parameter, and every way to end. */
import type { GenerationRequest, SamplingParams } from "../../src/engine/request.ts";
import type { Behaviour } from "./imitation-grammar.ts";
import type { Prng } from "./prng.ts";
import { GREEDY } from "./sampler-rows.ts";
import type { StressModel } from "./stress-models.ts";

export interface TrafficOptions {
  jobs: number;
  model: StressModel;
  /** Milliseconds over which requests arrive. */
  spreadMs: number;
}

/** How a request's reader behaves. */
export type Reader =
  | { kind: "patient" }
  /** Goes away after so many milliseconds, by its signal or by cancelling. */
  | { kind: "cancels" | "aborts"; afterMs: number }
  /** Leaves the loop after so many chunks. */
  | { kind: "leaves"; afterChunks: number }
  /** Never reads, then cancels. */
  | { kind: "ignores"; afterMs: number };

export interface StressJob {
  request: GenerationRequest;
  /** What holds its output; a grammar is made of it anew for each run. */
  behaviour: Behaviour | null;
  arrivesMs: number;
  reader: Reader;
  /** Comes after that job's answer, with it and some more tokens behind its prompt. */
  follows: { job: number; more: readonly number[] } | null;
}

const tokenIds = (random: Prng, count: number, vocabSize: number) =>
  Array.from({ length: count }, () => random.int(1, vocabSize - 1));

/** Beginnings that prompts share, some the beginnings of others. */
function drawBeginnings(random: Prng, { longest, vocabSize }: StressModel): number[][] {
  const list: number[][] = [];
  for (let i = 0; i < 5; i++) {
    const base = list.length > 0 && random.chance(0.5) ? random.pick(list) : [];
    const cut = base.slice(0, random.int(0, base.length));
    list.push([...cut, ...tokenIds(random, random.int(1, Math.max(1, longest - cut.length)), vocabSize)]);
  }
  return list;
}

function drawPrompt(random: Prng, beginnings: readonly number[][], { longest, vocabSize }: StressModel): number[] {
  const beginning = random.pick(beginnings);
  const kept = random.chance(0.5) ? beginning.length : random.int(0, beginning.length);
  let prompt = [...beginning.slice(0, kept), ...tokenIds(random, random.int(0, random.chance(0.8) ? 30 : 200), vocabSize)];
  // Where blocks end is where mistakes are.
  if (random.chance(0.3)) prompt = prompt.slice(0, Math.floor(prompt.length / 64) * 64 + random.int(-1, 1));
  prompt = prompt.slice(0, longest);
  return prompt.length > 0 ? prompt : tokenIds(random, 1, vocabSize);
}

function drawSampling(random: Prng, vocabSize: number): SamplingParams {
  const greedy = random.chance(0.4);
  return {
    ...GREEDY,
    seed: random.int(0, 2 ** 31),
    ...(!greedy && {
      temperature: random.pick([0.3, 0.7, 1, 1.5]),
      topP: random.pick([1, 1, 0.9, 0.5]),
      topK: random.pick([0, 0, 1, 20]),
      minP: random.pick([0, 0, 0.05]),
      typicalP: random.pick([1, 1, 1, 0.8]),
      topNSigma: random.pick([0, 0, 0, 1.5]),
      xtc: random.chance(0.2) ? { probability: random.pick([0.3, 1]), threshold: 0.05 } : null,
    }),
    dry: random.chance(0.15) ? { multiplier: 0.8, base: 1.75, allowedLength: 1, range: 0, sequenceBreakers: ["a"] } : null,
    repetitionPenalty: random.pick([1, 1, 1, 1.3]),
    repetitionContextSize: random.pick([null, 20]),
    presencePenalty: random.pick([0, 0, 0, 0.5, -0.5]),
    presenceContextSize: random.pick([null, 20]),
    frequencyPenalty: random.pick([0, 0, 0, 0.3]),
    frequencyContextSize: random.pick([null, 20]),
    logitBias: random.chance(0.2) ? new Map(tokenIds(random, 5, vocabSize).map((id) => [id, random.int(-20, 20)])) : new Map(),
  };
}

/** What may follow depends on what came, and on nothing else: the same alone and in a crowd, whenever it is said. */
function drawBehaviour(random: Prng, vocabSize: number): Behaviour {
  const salt = random.int(0, 1e9);
  const share = random.pick([0.02, 0.3, 0.9]);
  const hash = (tokens: readonly number[], id: number) => {
    let h = salt ^ Math.imul(id + 1, 0x9e3779b1);
    for (const token of tokens.slice(-3)) h = Math.imul(h ^ token, 0x85ebca6b) ^ (h >>> 13);
    return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
  };
  const ids = Array.from({ length: vocabSize }, (_, id) => id);
  const slow = random.pick([0, 0, 3, 15]);
  return {
    allow: (tokens) => {
      const some = ids.filter((id) => hash(tokens, id) < share);
      return hash(tokens, -7) < 0.1 ? "any" : some.length > 0 ? some : [tokens.length % vocabSize];
    },
    mayEnd: (tokens) => hash(tokens, -8) < 0.1,
    mustEnd: (tokens) => tokens.length > 0 && hash(tokens, -9) < 0.03,
    ...(slow > 0 && { delay: (tokens: readonly number[]) => (hash(tokens, -10) < 0.3 ? slow : 0) }),
    ...(random.chance(0.05) && { failAfter: random.int(0, 6) }),
  };
}

function drawReader(random: Prng, spreadMs: number): Reader {
  const afterMs = random.int(0, spreadMs);
  if (random.chance(0.65)) return { kind: "patient" };
  const kind = random.pick(["cancels", "aborts", "leaves", "ignores"] as const);
  return kind === "leaves" ? { kind, afterChunks: random.int(0, 5) } : { kind, afterMs };
}

export function drawTraffic(random: Prng, options: TrafficOptions): StressJob[] {
  const { model, spreadMs } = options;
  const { vocabSize, adapters } = model;
  const beginnings = drawBeginnings(random, model);
  const jobs: StressJob[] = [];
  while (jobs.length < options.jobs) {
    const request: GenerationRequest = {
      promptTokens: drawPrompt(random, beginnings, model),
      adapter: random.chance(0.3) && adapters.length > 0 ? random.pick(adapters).name : null,
      maxTokens: random.chance(0.1) ? random.int(0, 1) : random.int(1, random.chance(0.2) ? 150 : 25),
      sampling: drawSampling(random, vocabSize),
      stop: random.chance(0.2) ? [random.pick(["a", "e", " ", "th"])] : [],
      stopTokenIds: random.chance(0.3) ? tokenIds(random, 3, vocabSize) : [],
      ignoreEos: random.chance(0.3),
      minTokens: random.chance(0.2) ? random.int(0, 10) : 0,
      logprobs: random.chance(0.6) ? random.int(0, 3) : null,
      background: random.chance(0.25),
      ...(random.chance(0.2) && { cacheSalt: random.pick(["a", "b"]) }),
    };
    const behaviour = random.chance(0.2) ? drawBehaviour(random, vocabSize) : null;
    // Choices of one prompt come at once.
    const choices = random.chance(0.1) ? random.int(2, 8) : 1;
    const arrivesMs = random.int(0, spreadMs);
    for (let i = 0; i < choices; i++) {
      const seed = (request.sampling.seed ?? 0) + i;
      jobs.push({
        request: { ...request, sampling: { ...request.sampling, seed } },
        behaviour,
        arrivesMs,
        reader: drawReader(random, spreadMs),
        follows:
          jobs.length > 0 && random.chance(0.25)
            ? { job: random.int(0, jobs.length - 1), more: tokenIds(random, random.int(1, 70), vocabSize) }
            : null,
      });
    }
  }
  return jobs;
}

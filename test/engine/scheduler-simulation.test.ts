import { describe, expect, test } from "bun:test";
import { Overloaded } from "../../src/errors.ts";
import { ImitationEngine, type ImitationOptions, ImitationSequence } from "./imitation-engine.ts";
import { Prng } from "./prng.ts";

interface Traffic {
  arrivals: number;
  /** Chance of an arrival in a step; several may come. */
  rate: number;
  maxPrompt: number;
  maxTokens: number;
  /** Chance of a cancellation in a step. */
  cancels: number;
  /** Prompt tokens allowed beside decoding rows vary from 0 to this. */
  prefillLimit?: number;
}

const capacities = [16, 32, 64, 128, 256];
const base: ImitationOptions = { capacities, budgetTokens: 100_000, maxBatchSize: 16, maxTokensPerStep: 64, maxQueue: 5000 };
const usual: Traffic = { arrivals: 3000, rate: 0.3, maxPrompt: 150, maxTokens: 60, cancels: 0.02 };

/** Mostly short prompts; half of the sequences end before their limit. */
function drawSequence(random: Prng, id: number, arrived: number, { maxPrompt, maxTokens }: Traffic): ImitationSequence {
  const promptLength = random.int(1, random.chance(0.2) ? maxPrompt : Math.ceil(maxPrompt / 5));
  const limit = random.int(1, maxTokens);
  return new ImitationSequence({
    id,
    promptLength,
    maxTokens: limit,
    ending: random.chance(0.5) ? random.int(1, limit) : limit + 1,
    arrived,
  });
}

/** Runs random traffic to its end; every step is checked by the imitation. */
function simulate(seed: number, options: ImitationOptions, traffic: Traffic) {
  const random = new Prng(seed);
  const engine = new ImitationEngine(options);
  const outcome = { submitted: 0, overloaded: 0, tooLong: 0 };
  for (let id = 1, steps = 0; id <= traffic.arrivals || !engine.idle; steps++) {
    if (steps > 100_000) throw new Error("there is no end");
    while (id <= traffic.arrivals && random.chance(traffic.rate)) {
      const sequence = drawSequence(random, id++, engine.now, traffic);
      const places = Math.max(0, options.maxBatchSize - engine.scheduler.activeCount);
      const full = engine.scheduler.queueSize >= options.maxQueue + places;
      if (!engine.rows.fitsAlone(sequence.promptLength + 1)) {
        outcome.tooLong++;
      } else if (full) {
        expect(() => engine.add(sequence)).toThrow(Overloaded);
        outcome.overloaded++;
      } else {
        engine.add(sequence);
        outcome.submitted++;
      }
    }
    if (engine.live.size > 0 && random.chance(traffic.cancels)) engine.finish(random.pick([...engine.live]), "cancelled");
    engine.step(random.chance(0.1) ? 2 : 1, traffic.prefillLimit === undefined ? undefined : random.int(0, traffic.prefillLimit));
  }
  engine.tensors.apply(engine.rows.takeActions());
  return { ...outcome, engine };
}

describe("random traffic", () => {
  interface Expected {
    preempted?: boolean;
    exhausted?: boolean;
    overloaded?: boolean;
    /** Bounds of what one sequence may wait for its next token: steps, and later ones served meanwhile. */
    wait?: number;
    overtaken: number;
  }
  const cases: [name: string, options: Partial<ImitationOptions>, traffic: Partial<Traffic>, expected: Expected][] = [
    ["with ample memory", {}, {}, { wait: 60, overtaken: 10 }],
    ["with little memory", { budgetTokens: 600 }, {}, { preempted: true, overtaken: 120 }],
    ["with memory for hardly more than one", { budgetTokens: 300 }, { arrivals: 1500 }, { preempted: true, overtaken: 120 }],
    [
      "with memory too small for the longest",
      { budgetTokens: 200 },
      { arrivals: 1500 },
      { preempted: true, exhausted: true, overtaken: 120 },
    ],
    ["in bursts that overflow the queue", { maxQueue: 20 }, { rate: 0.8 }, { overloaded: true, wait: 120, overtaken: 60 }],
    ["one at a time", { maxBatchSize: 1, maxTokensPerStep: 1 }, { arrivals: 200 }, { overtaken: 0 }],
    ["with one token a row and step", { maxTokensPerStep: 16 }, { arrivals: 1500 }, { overtaken: 200 }],
    [
      "with large steps and a large batch",
      { maxTokensPerStep: 2000, maxBatchSize: 64 },
      { rate: 0.6 },
      { wait: 10, overtaken: 15 },
    ],
    ["with prompts held back", {}, { prefillLimit: 24, arrivals: 1500 }, { overtaken: 200 }],
    ["with many cancels", { budgetTokens: 500 }, { rate: 0.5, cancels: 0.5 }, { preempted: true, overtaken: 120 }],
  ];
  test.each(cases)("%s", (_name, options, changed, expected) => {
    const traffic = { ...usual, ...changed };
    for (const seed of [1, 2]) {
      const { engine, submitted, overloaded, tooLong } = simulate(seed, { ...base, ...options }, traffic);
      const { stop, length, exhausted, cancelled, preempted } = engine.counts;
      expect(stop + length + exhausted + cancelled).toBe(submitted);
      expect(submitted + overloaded + tooLong).toBe(traffic.arrivals);
      expect(stop).toBeGreaterThan(0);
      expect(length).toBeGreaterThan(0);
      expect({ preempted: preempted > 0, exhausted: exhausted > 0, overloaded: overloaded > 0 }).toEqual({
        preempted: expected.preempted ?? false,
        exhausted: expected.exhausted ?? false,
        overloaded: expected.overloaded ?? false,
      });
      expect(engine.longestWait).toBeLessThanOrEqual(expected.wait ?? Number.POSITIVE_INFINITY);
      expect(engine.mostOvertaken).toBeLessThanOrEqual(expected.overtaken);
      expect(engine.live.size).toBe(0);
      expect(engine.rows.bytes).toBe(0);
      expect(engine.tensors.positions).toBe(0);
    }
  });

  test("lets long ones through an endless stream of short ones that fill the memory", () => {
    const random = new Prng(3);
    const engine = new ImitationEngine({ ...base, budgetTokens: 600 });
    const long: ImitationSequence[] = [];
    for (let step = 0, id = 1; step < 9000; step++) {
      const arrived = engine.now;
      if (step % 2000 === 100) {
        long.push(new ImitationSequence({ id: id++, promptLength: 140, maxTokens: 100, ending: 1000, arrived }));
        engine.add(long.at(-1)!);
      }
      while (engine.scheduler.queueSize < 20) {
        const maxTokens = random.int(30, 55);
        engine.add(new ImitationSequence({ id: id++, promptLength: random.int(1, 6), maxTokens, ending: 1000, arrived }));
      }
      engine.step(1);
      for (const { finished, progress } of long) expect(finished !== null || engine.now - progress < 700).toBe(true);
    }
    expect(long.map(({ finished }) => finished)).toEqual(Array(5).fill("length"));
  });
});

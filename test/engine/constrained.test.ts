import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { type ContinuousBatchingServer, EngineFailure } from "../../src/index.ts";
import { liveArrays } from "../../src/mlx/array.ts";
import { BYTES_PER_TOKEN, END_TOKEN, startEngine } from "./direct-engine.ts";
import { type Behaviour, grammar, type ImitationGrammar } from "./imitation-grammar.ts";
import { Prng } from "./prng.ts";
import { type Answer, COUNTING, collect, GOLDEN, request, STORY, settle, startServer } from "./tiny-chat.ts";

let server: ContinuousBatchingServer;
beforeAll(async () => {
  server = await startServer({ maxBatchSize: 32, prefixCacheMemory: 0 });
});
afterAll(() => server.close());
afterEach(() => settle(server));

type Options = NonNullable<Parameters<typeof request>[1]>;

const requestWith = (prompt: readonly number[], made: ImitationGrammar | null, options: Options = {}): GenerationRequest => ({
  ...request(prompt, options),
  grammar: made,
});
const ask = (prompt: readonly number[], behaviour: Behaviour | null, options: Options = {}): Promise<Answer> =>
  collect(server.submit(requestWith(prompt, behaviour && grammar(behaviour), options)));

/** Arrays that live when nothing runs, also no step that was on its way when the last request ended. */
async function restingArrays(): Promise<number> {
  await settle(server);
  for (let count = liveArrays(); ; count = liveArrays()) {
    await Bun.sleep(50);
    if (liveArrays() === count) return count;
  }
}

/** Even ids after an even number of tokens, odd ones after an odd number; the end after ten. */
const alternating: Behaviour = {
  allow: (tokens) => Array.from({ length: 2000 }, (_, i) => 2 * i + (tokens.length % 2)),
  mayEnd: (tokens) => tokens.length >= 10,
  mustEnd: (tokens) => tokens.length >= 24,
};
const delayed = (delay: Behaviour["delay"]): Behaviour => ({ ...alternating, delay });
const prompt = COUNTING.prompt_token_ids;

describe("a sequence held to a grammar", () => {
  test("draws only what is allowed, and ends only where it may", async () => {
    for (let seed = 0; seed < 8; seed++) {
      const { ids, finishReason } = await ask(STORY.prompt_token_ids, alternating, { temperature: 1, seed });
      const body = ids.at(-1) === END_TOKEN ? ids.slice(0, -1) : ids;
      expect(body.every((id, i) => id < 4000 && id % 2 === i % 2)).toBe(true);
      expect(body.length).toBeGreaterThanOrEqual(10);
      expect(body.length).toBeLessThanOrEqual(24);
      expect(finishReason).toBe("stop");
    }
  });

  test("ends as soon as nothing may follow, without an end token", async () => {
    const fixed = [1110, 269, 1110, 12];
    const spelling: Behaviour = {
      allow: (tokens) => fixed.slice(tokens.length, tokens.length + 1),
      mustEnd: (tokens) => tokens.length === 4,
    };
    for (const options of [{}, { ignoreEos: true }, { minTokens: 10 }]) {
      const { ids, finishReason } = await ask(prompt, spelling, options);
      expect({ ids, finishReason }).toEqual({ ids: fixed, finishReason: "stop" });
    }
    expect(await ask(prompt, { allow: () => [], mustEnd: () => true })).toMatchObject({
      ids: [],
      text: "",
      finishReason: "stop",
    });
  });

  test("takes the first token that greedy decoding likes best among the allowed", async () => {
    const free = await ask(prompt, null, { logprobs: 20, maxTokens: 1 });
    const best = free.tokens[0]!.top!;
    const { tokens } = await ask(prompt, { allow: () => best.slice(7).map(({ id }) => id) }, { maxTokens: 1, logprobs: 2 });
    expect(tokens[0]!.id).toBe(best[7]!.id);
    // Log-probabilities are the model's own, before the mask.
    expect(tokens[0]!.logprob).toBeCloseTo(best[7]!.logprob, 3);
    expect(tokens[0]!.top!.map(({ id }) => id)).toEqual(best.slice(0, 2).map(({ id }) => id));
  });

  test("is penalised before it is masked, and keeps end tokens off before min_tokens", async () => {
    const logitBias = new Map([[100, 50]]);
    expect((await ask(prompt, { allow: () => [100, 101] }, { maxTokens: 3, logitBias })).ids).toEqual([100, 100, 100]);
    expect((await ask(prompt, { allow: () => [99, 101] }, { maxTokens: 3, logitBias })).ids).not.toContain(100);
    const loose: Behaviour = { allow: () => [7], mayEnd: () => true };
    const toEnd = { logitBias: new Map([[END_TOKEN, 100]]), maxTokens: 20 };
    expect((await ask(prompt, loose, toEnd)).ids).toEqual([END_TOKEN]);
    expect((await ask(prompt, loose, { ...toEnd, minTokens: 5 })).ids).toEqual([7, 7, 7, 7, 7, END_TOKEN]);
    expect((await ask(prompt, loose, { ...toEnd, ignoreEos: true })).ids).toEqual(Array(20).fill(7));
  });

  test("without a mask draws anything but an end where there may be none", async () => {
    const { ids } = await ask(GOLDEN[0]!.prompt_token_ids, { allow: () => "any" }, { maxTokens: 60 });
    expect(ids).toHaveLength(60);
    expect(ids).not.toContain(END_TOKEN);
    const free = await ask(GOLDEN[0]!.prompt_token_ids, { allow: () => "any", mayEnd: () => true });
    expect(free).toMatchObject({ text: GOLDEN[0]!.completion_text, finishReason: "stop" });
  });
});

describe("in a crowd", () => {
  const kinds: [behaviour: Behaviour | null, options: Options][] = [
    [null, {}],
    [alternating, {}],
    [null, { temperature: 1, seed: 1 }],
    [alternating, { temperature: 1, seed: 2 }],
    [delayed(() => 1), { temperature: 1.3, seed: 3, topK: 50 }],
    [delayed((tokens) => (tokens.length % 5 === 3 ? 30 : 0)), { temperature: 1, seed: 4, repetitionPenalty: 1.2 }],
    [delayed(() => 12), { temperature: 0.8, seed: 5, presencePenalty: 0.7, logprobs: 3 }],
    [null, { temperature: 1, seed: 6, frequencyPenalty: 0.6, logprobs: 2 }],
    [
      { allow: () => "any", mayEnd: () => true },
      { temperature: 1, seed: 7 },
    ],
    [
      { ...alternating, mustEnd: () => false },
      { ignoreEos: true, temperature: 1, seed: 8 },
    ],
  ];

  test("masked, seeded and free requests answer what each answers alone, however late the masks are", async () => {
    const random = new Prng(11);
    const prompts = [0, 4, 15, 20].map((id) => GOLDEN.find((entry) => entry.id === id)!.prompt_token_ids);
    const all = kinds.flatMap(([behaviour, options], i) =>
      [0, 1].map((j) => ({ behaviour, prompt: prompts[(i + j) % 4]!, options: { maxTokens: 20 + i, ...options } })),
    );
    const alone: Answer[] = [];
    for (const { prompt, behaviour, options } of all) alone.push(await ask(prompt, behaviour, options));
    for (let round = 0; round < 2; round++) {
      const together = await Promise.all(
        all.map(async ({ prompt, behaviour, options }) => {
          await Bun.sleep(random.int(0, 40));
          return ask(prompt, behaviour, options);
        }),
      );
      together.forEach(({ ids, text, finishReason }, i) => {
        const want = alone[i]!;
        expect({ i, ids, text, finishReason }).toEqual({ i, ids: want.ids, text: want.text, finishReason: want.finishReason });
      });
    }
  });

  test("nobody waits for a mask that is late", async () => {
    const slow = ask(
      prompt,
      delayed(() => 150),
      { maxTokens: 4 },
    );
    await Bun.sleep(10);
    const began = performance.now();
    const { ids } = await ask(prompt, null, { maxTokens: 60 });
    const took = performance.now() - began;
    expect(ids).toEqual(COUNTING.completion_token_ids.slice(0, 60));
    const patient = performance.now() - began;
    await slow;
    expect(performance.now() - began).toBeGreaterThan(patient + 100);
    expect(took).toBeLessThan(400);
  });

  test("a broken matcher ends its own request only", async () => {
    const before = await restingArrays();
    const broken = Array.from({ length: 4 }, (_, i) => ask(prompt, { ...alternating, failAfter: i }, { maxTokens: 20 }));
    const slowly = ask(prompt, { ...alternating, failAfter: 2, delay: () => 25 }, { maxTokens: 20 });
    const free = ask(prompt, null, { maxTokens: 200 });
    for (const failing of [...broken, slowly]) {
      await expect(failing).rejects.toThrow(EngineFailure);
      await expect(failing).rejects.toThrow("could not be held to its grammar");
    }
    expect((await free).ids).toEqual(COUNTING.completion_token_ids);
    expect(server.status).toBe("ok");
    expect(await restingArrays()).toBe(before);
  });
});

describe("matchers", () => {
  test("are given every token once, in order, and are disposed of, whatever becomes of their requests", async () => {
    const before = await restingArrays();
    const made = grammar(delayed((tokens) => tokens.length % 3));
    const cut = grammar(delayed(() => 5));
    const ended = await Promise.all(
      [1, 2, 3].map((seed) => collect(server.submit(requestWith(prompt, made, { temperature: 1, seed })))),
    );
    const signals = Array.from({ length: 6 }, () => new AbortController());
    const cancelled = signals.map(({ signal }) => collect(server.submit(requestWith(prompt, cut), signal)).catch(() => null));
    for (const [i, controller] of signals.entries()) {
      await Bun.sleep(4 * i);
      controller.abort();
    }
    await Promise.all(cancelled);
    expect(await restingArrays()).toBe(before);
    expect([made.made, made.disposed, cut.made, cut.disposed]).toEqual([3, 3, 6, 6]);
    ended.forEach(({ ids }, i) => {
      const given = ids.at(-1) === END_TOKEN ? ids.slice(0, -1) : ids;
      expect(made.seen[i]).toEqual(given);
    });
  });

  test("keep their state when their sequences are put back and computed again", async () => {
    const behaviours = [null, alternating, delayed((tokens) => (tokens.length % 4 === 1 ? 8 : 0))];
    const long = { ...alternating, mustEnd: () => false, mayEnd: () => false };
    const options = { temperature: 1, maxTokens: 90 };
    const requests = Array.from({ length: 9 }, (_, i) => ({
      behaviour: behaviours[i % 3] && { ...behaviours[i % 3]!, ...long },
      seed: i,
    }));
    const run = async (kvBudgetBytes: number) => {
      const direct = await startEngine({ kvBudgetBytes, smallestSizeClass: 64, maxBatchSize: 9 });
      const answers = await Promise.all(
        requests.map(({ behaviour, seed }) => {
          return collect(direct.engine.submit(requestWith(prompt, behaviour ? grammar(behaviour) : null, { ...options, seed })));
        }),
      );
      const computed = direct.computed();
      await direct.close();
      return { computed, ids: answers.map(({ ids }) => ids) };
    };
    const ample = await run(2 ** 30);
    const tight = await run(3 * 128 * BYTES_PER_TOKEN);
    expect(tight.computed).toBeGreaterThan(ample.computed + 50);
    expect(tight.ids).toEqual(ample.ids);
  });
});

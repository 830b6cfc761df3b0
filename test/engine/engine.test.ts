import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ContinuousBatchingServer, InvalidRequest, Overloaded } from "../../src/index.ts";
import { END_TOKEN } from "./direct-engine.ts";
import { Prng } from "./prng.ts";
import { type Answer, COUNTING, collect, GOLDEN, request, STORY, settle, startServer } from "./tiny-chat.ts";

let server: ContinuousBatchingServer;
beforeAll(async () => {
  server = await startServer({ maxBatchSize: 32 });
});
afterAll(() => server.close());

const ask = (...options: Parameters<typeof request>) => collect(server.submit(request(...options)));
const goldenOf = (id: number) => GOLDEN.find((entry) => entry.id === id)!;

describe("many kinds of request", () => {
  const kinds: [name: string, options: NonNullable<Parameters<typeof request>[1]>][] = [
    ["greedy", {}],
    ["seeded", { temperature: 1, seed: 1 }],
    ["hot", { temperature: 1.8, seed: 2, topK: 40 }],
    ["nucleus", { temperature: 0.9, seed: 3, topP: 0.8 }],
    ["min-p", { temperature: 1.2, seed: 4, minP: 0.05 }],
    ["repetition", { repetitionPenalty: 1.3, repetitionContextSize: 20 }],
    ["repetition over all", { repetitionPenalty: 1.2, temperature: 0.7, seed: 5 }],
    ["presence and frequency", { presencePenalty: 1.2, frequencyPenalty: 0.6 }],
    ["frequency, drawn", { frequencyPenalty: 1, temperature: 1, seed: 6 }],
    [
      "bias",
      {
        logitBias: new Map([
          [1110, -100],
          [269, 2],
        ]),
      },
    ],
    ["logprobs", { logprobs: 3 }],
    ["logprobs, drawn", { logprobs: 5, temperature: 1, seed: 7, presencePenalty: 0.5 }],
    ["chosen logprobs only", { logprobs: 0, temperature: 0.5, seed: 8 }],
    ["ignoring the end", { ignoreEos: true, temperature: 1.1, seed: 9 }],
    ["at least 20", { minTokens: 20 }],
  ];
  const prompts = [0, 4, 7, 15, 20, 24].map((id) => goldenOf(id).prompt_token_ids);

  test("answer in one batch what each answers alone", async () => {
    const random = new Prng(9);
    const all = kinds.flatMap(([name, options], i) =>
      [0, 1].map((j) => ({ name, prompt: prompts[(i + 3 * j) % prompts.length]!, options: { maxTokens: 30 + i, ...options } })),
    );
    const alone: Answer[] = [];
    for (const { prompt, options } of all) alone.push(await ask(prompt, options));
    const together = await Promise.all(
      all.map(async ({ prompt, options }) => {
        await Bun.sleep(random.int(0, 60));
        return ask(prompt, options);
      }),
    );
    together.forEach((got, i) => {
      const want = alone[i]!;
      const name = all[i]!.name;
      expect({ name, ids: got.ids, text: got.text, reason: got.finishReason }).toEqual({
        name,
        ids: want.ids,
        text: want.text,
        reason: want.finishReason,
      });
      got.tokens.forEach(({ logprob, top }, at) => {
        const other = want.tokens[at]!;
        expect(top?.length).toBe(other.top?.length);
        if (logprob !== undefined) expect(logprob).toBeCloseTo(other.logprob!, 3);
      });
    });
    expect(new Set(alone.map(({ text }) => text)).size).toBeGreaterThan(20);
  });

  test("have log-probabilities only where asked, as many as asked, best first", async () => {
    const { prompt_token_ids: prompt } = COUNTING;
    const answers = await Promise.all([null, 0, 1, 4, 20].map((logprobs) => ask(prompt, { logprobs, maxTokens: 8 })));
    const wanted = [undefined, 0, 1, 4, 20];
    answers.forEach(({ tokens, ids }, i) => {
      expect(ids).toEqual(COUNTING.completion_token_ids.slice(0, 8));
      for (const { id, logprob, top } of tokens) {
        expect(top?.length).toBe(wanted[i]);
        expect(logprob === undefined).toBe(i === 0);
        if (!top || top.length === 0) continue;
        expect(top.map((one) => one.logprob)).toEqual(top.map((one) => one.logprob).toSorted((a, b) => b - a));
        // Greedy: the chosen one is the best.
        expect(top[0]).toEqual({ id, logprob: logprob! });
      }
    });
  });

  test("without a seed differ, with one repeat", async () => {
    const draw = (seed: number | null) => ask(STORY.prompt_token_ids, { temperature: 3, seed, maxTokens: 20 });
    const answers = await Promise.all([draw(null), draw(null), draw(5), draw(5), draw(6)]);
    const texts = answers.map(({ text }) => text);
    expect(texts[2]).toBe(texts[3]!);
    expect(new Set(texts).size).toBe(4);
  });
});

describe("an output ends", () => {
  test("before a stop string, wherever it begins and across tokens", async () => {
    const { prompt_token_ids, completion_text: text } = STORY;
    const random = new Prng(4);
    const stops = Array.from({ length: 24 }, () => {
      const at = random.int(1, text.length - 20);
      return text.slice(at, at + random.int(1, 12));
    });
    const answers = await Promise.all(
      stops.map((stop, i) =>
        ask(prompt_token_ids, { stop: i % 3 === 0 ? ["never in it", stop, "\u0000"] : [stop], maxTokens: 200 }),
      ),
    );
    answers.forEach((answer, i) => {
      expect(answer.finishReason).toBe("stop");
      expect(answer.text).toBe(text.slice(0, text.indexOf(stops[i]!)));
      expect(answer.ids).toEqual(STORY.completion_token_ids.slice(0, answer.ids.length));
    });
    const both = await ask(prompt_token_ids, { stop: [text.slice(50, 60), text.slice(40, 45)] });
    expect(both.text).toBe(text.slice(0, Math.min(text.indexOf(text.slice(40, 45)), text.indexOf(text.slice(50, 60)))));
  });

  test("with the text that a stop string would have gone on with, when it does not", async () => {
    const { prompt_token_ids, completion_text, completion_token_ids } = goldenOf(0);
    const { text, ids, finishReason } = await ask(prompt_token_ids, { stop: [`${completion_text.slice(-8)}!`] });
    expect({ text, finishReason }).toEqual({ text: completion_text, finishReason: "stop" });
    expect(ids).toEqual([...completion_token_ids, END_TOKEN]);
  });

  test("at the wanted length, be it none", async () => {
    const lengths = [0, 1, 2, 17];
    const answers = await Promise.all(lengths.map((maxTokens) => ask(COUNTING.prompt_token_ids, { maxTokens })));
    answers.forEach(({ ids, finishReason, text }, i) => {
      expect(ids).toEqual(COUNTING.completion_token_ids.slice(0, lengths[i]));
      expect(finishReason).toBe("length");
      expect(COUNTING.completion_text.startsWith(text)).toBe(true);
    });
    expect(answers[0]).toMatchObject({ text: "", chunks: 1 });
  });

  test("not before the least length, neither by an end token nor by a stop string", async () => {
    const { prompt_token_ids, completion_token_ids } = goldenOf(21);
    const least = [0, 1, 5, 6, 12];
    const answers = await Promise.all(
      least.map((minTokens) => ask(prompt_token_ids, { minTokens, logitBias: new Map([[END_TOKEN, 100]]), maxTokens: 30 })),
    );
    answers.forEach(({ ids, finishReason }, i) => {
      expect(ids.indexOf(END_TOKEN)).toBe(least[i]!);
      expect(ids.length).toBe(least[i]! + 1);
      expect(finishReason).toBe("stop");
    });
    expect(answers[2]!.ids.slice(0, 5)).toEqual(completion_token_ids);
    const stop = COUNTING.completion_text.slice(10, 14);
    const stopped = await ask(COUNTING.prompt_token_ids, { stop: [stop], minTokens: 40, maxTokens: 60 });
    expect(stopped.ids.length).toBeGreaterThanOrEqual(40);
    expect(stopped.text).toContain(stop);
  });

  test("not at the model's end token when it is to be ignored, but at the request's own", async () => {
    const { prompt_token_ids, completion_token_ids } = goldenOf(21);
    const ignoring = await ask(prompt_token_ids, { ignoreEos: true, maxTokens: 30 });
    expect(ignoring.ids.slice(0, 6)).toEqual([...completion_token_ids, END_TOKEN]);
    expect([ignoring.ids.length, ignoring.finishReason]).toEqual([30, "length"]);
    // One that comes fifth, and ids that no token has.
    const stopTokenIds = [completion_token_ids[4]!, 10 ** 9, 4096];
    const own = await ask(prompt_token_ids, { ignoreEos: true, stopTokenIds, minTokens: 2, maxTokens: 30 });
    expect(own.ids).toEqual(completion_token_ids);
    expect(own).toMatchObject({ finishReason: "stop", text: "pear, lemon," });
  });

  test("with the context", async () => {
    const random = new Prng(1);
    const prompt = Array.from({ length: 4096 }, () => random.int(300, 4000));
    const { ids, finishReason } = await ask(prompt.slice(0, 4091), { ignoreEos: true });
    expect([ids.length, finishReason]).toEqual([5, "length"]);
    expect(await ask(prompt, { maxTokens: 0 })).toMatchObject({ ids: [], finishReason: "length" });
    expect(() => server.submit(request(prompt))).toThrow(InvalidRequest);
  });
});

describe("requests", () => {
  test("that make no sense are refused before anything is computed", () => {
    const refused = [[], [-1], [4096], [1.5], [Number.NaN], Array<number>(4097).fill(1)];
    for (const prompt of refused) expect(() => server.submit(request(prompt))).toThrow(InvalidRequest);
    for (const maxTokens of [-1, Number.NaN]) expect(() => server.submit(request([300], { maxTokens }))).toThrow(InvalidRequest);
    expect(server.stats().activeRequests + server.stats().queueSize).toBe(0);
  });

  test("count the tokens that they have given, and go on counting none", async () => {
    const generations = [21, 0, 15].map((id) => server.submit(request(goldenOf(id).prompt_token_ids, { maxTokens: 40 })));
    const answers = await Promise.all(generations.map(collect));
    const counted = () => generations.map(({ completionTokenCount }) => completionTokenCount);
    expect(counted()).toEqual(answers.map(({ ids }) => ids.length));
    await settle(server);
    await Bun.sleep(20);
    expect(counted()).toEqual(answers.map(({ ids }) => ids.length));
    expect(generations.map(({ promptTokenCount }) => promptTokenCount)).toEqual([21, 14, 21]);
  });

  test("give a slow reader fewer and larger pieces", async () => {
    const generation = server.submit(request(COUNTING.prompt_token_ids, { maxTokens: 100 }));
    const sizes: number[] = [];
    let text = "";
    for await (const chunk of generation) {
      text += chunk.text;
      sizes.push(chunk.tokens.length);
      if (sizes.length === 2) await settle(server);
    }
    expect(COUNTING.completion_text.startsWith(text)).toBe(true);
    expect(sizes.reduce((a, b) => a + b)).toBe(100);
    expect(sizes.length).toBe(3);
    expect(sizes[2]).toBeGreaterThan(80);
  });

  test("that nobody reads end all the same", async () => {
    const before = server.stats().totalTokens;
    for (let i = 0; i < 5; i++) server.submit(request(COUNTING.prompt_token_ids, { maxTokens: 10 }));
    await settle(server);
    expect(server.stats().totalTokens - before).toBe(50);
  });

  test("that are many pass through a small batch", async () => {
    const small = await startServer({ maxBatchSize: 4, maxQueue: 196 });
    const most = { active: 0, queue: 0 };
    const timer = setInterval(() => {
      const { activeRequests, queueSize } = small.stats();
      most.active = Math.max(most.active, activeRequests);
      most.queue = Math.max(most.queue, queueSize);
    }, 1);
    const generations = Array.from({ length: 200 }, (_, i) =>
      small.submit(request(GOLDEN[i % 20]!.prompt_token_ids, { maxTokens: 1 + (i % 6), ignoreEos: true })),
    );
    expect(() => small.submit(request([1]))).toThrow(Overloaded);
    const answers = await Promise.all(generations.map(collect));
    clearInterval(timer);
    answers.forEach(({ ids }, i) => {
      expect(ids.length).toBe(1 + (i % 6));
    });
    expect(most.active).toBe(4);
    expect(most.queue).toBeGreaterThan(100);
    await settle(small);
    const { totalRequests, totalTokens } = small.stats();
    expect([totalRequests, totalTokens]).toEqual([200, answers.reduce((sum, { ids }) => sum + ids.length, 0)]);
    await small.close();
  });

  test("are measured: tokens a second as seen from outside", async () => {
    const fresh = await startServer();
    expect(fresh.stats()).toMatchObject({ totalTokens: 0, generationTps: 0, kvBytes: 0 });
    const begun = performance.now();
    await Promise.all([0, 1, 2, 3].map(() => collect(fresh.submit(request(COUNTING.prompt_token_ids, { maxTokens: 150 })))));
    const perSecond = 600 / ((performance.now() - begun) / 1000);
    const { generationTps, totalTokens, activeMemoryBytes, peakMemoryBytes } = fresh.stats();
    expect(totalTokens).toBe(600);
    expect(generationTps / perSecond).toBeGreaterThan(0.6);
    expect(generationTps / perSecond).toBeLessThan(1.6);
    expect(activeMemoryBytes).toBeGreaterThan(6e6);
    expect(peakMemoryBytes).toBeGreaterThanOrEqual(activeMemoryBytes);
    await fresh.close();
  });
});

/** Penalties and filters that look at more than one number, in the running engine. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { DryParams, SamplingParams } from "../../src/engine/request.ts";
import type { ContinuousBatchingServer } from "../../src/index.ts";
import { grammar } from "./imitation-grammar.ts";
import { type Answer, COUNTING, collect, GOLDEN, request, STORY, startServer } from "./tiny-chat.ts";

let server: ContinuousBatchingServer;
beforeAll(async () => {
  server = await startServer({ maxBatchSize: 32, prefixCacheMemory: 0 });
});
afterAll(() => server.close());

type Options = NonNullable<Parameters<typeof request>[1]>;
const ask = (prompt: readonly number[], options: Options): Promise<Answer> => collect(server.submit(request(prompt, options)));

const strong: DryParams = { multiplier: 100, base: 2, allowedLength: 3, range: 0, sequenceBreakers: [] };

/** The longest run of tokens that stands in the text twice. */
function longestRepetition(ids: readonly number[]): number {
  let longest = 0;
  for (let i = 0; i < ids.length; i++) {
    for (let j = i + 1; j < ids.length; j++) {
      let length = 0;
      while (j + length < ids.length && ids[i + length] === ids[j + length]) length++;
      longest = Math.max(longest, length);
    }
  }
  return longest;
}

describe("DRY", () => {
  test("keeps a model from repeating itself, from the first tokens on", async () => {
    const prompt = STORY.prompt_token_ids;
    const options = { maxTokens: 150, ignoreEos: true };
    const free = await ask(prompt, {
      ...options,
      logitBias: new Map([
        [1110, 8],
        [269, 8],
      ]),
    });
    const dry = await ask(prompt, {
      ...options,
      logitBias: new Map([
        [1110, 8],
        [269, 8],
      ]),
      dry: strong,
    });
    expect(longestRepetition(free.ids)).toBeGreaterThan(3);
    expect(longestRepetition([...prompt, ...dry.ids])).toBeLessThanOrEqual(Math.max(3, longestRepetition(prompt)));
    expect(longestRepetition(dry.ids)).toBeLessThanOrEqual(3);
  });

  test("sees each token that was drawn before, however many others are drawn", async () => {
    const options = { maxTokens: 60, ignoreEos: true, dry: strong };
    const alone = await ask(COUNTING.prompt_token_ids, options);
    const crowd = GOLDEN.slice(0, 10).map(({ prompt_token_ids }) => ask(prompt_token_ids, {}));
    const beside = await ask(COUNTING.prompt_token_ids, options);
    expect(beside.ids).toEqual(alone.ids);
    // Its neighbours, whose draws wait with it, are what they would be without it.
    for (const [i, answer] of (await Promise.all(crowd)).entries()) expect(answer.text).toBe(GOLDEN[i]!.completion_text);
  });

  test("works beside a grammar, and with its own row held to one", async () => {
    const allow = { allow: () => [100, 101, 102] };
    const held = (dry: DryParams | null) =>
      collect(server.submit({ ...request(COUNTING.prompt_token_ids, { maxTokens: 40, dry }), grammar: grammar(allow) }));
    const [wet, dry] = await Promise.all([held(null), held({ ...strong, allowedLength: 1 })]);
    expect(longestRepetition(wet.ids)).toBeGreaterThan(10);
    expect(longestRepetition(dry.ids)).toBeLessThan(longestRepetition(wet.ids));
    expect(dry.ids.every((id) => id >= 100 && id <= 102)).toBe(true);
  });
});

describe("a seeded request", () => {
  const settings: Partial<SamplingParams>[] = [
    { typicalP: 0.6 },
    { topNSigma: 1 },
    { xtc: { probability: 0.5, threshold: 0.1 } },
    { xtc: { probability: 1, threshold: 0.02 }, topK: 5, minP: 0.01 },
    { dry: { ...strong, multiplier: 0.8, base: 1.75, allowedLength: 2, sequenceBreakers: ["\n", ":"] } },
    { presencePenalty: 0.5, presenceContextSize: 10, frequencyPenalty: 0.3, frequencyContextSize: 30 },
    { typicalP: 0.9, topNSigma: 2, topP: 0.9, xtc: { probability: 0.3, threshold: 0.05 }, dry: strong, repetitionPenalty: 1.1 },
  ];

  test("gives the same tokens alone and in a crowd, whatever its filters", async () => {
    const requests = settings.flatMap((setting, i) =>
      [COUNTING, STORY].map(({ prompt_token_ids }) => ({
        prompt: prompt_token_ids,
        options: { ...setting, temperature: 1.5, seed: i, maxTokens: 40 },
      })),
    );
    const alone: number[][] = [];
    for (const { prompt, options } of requests) alone.push((await ask(prompt, options)).ids);
    const together = await Promise.all(requests.map(({ prompt, options }) => ask(prompt, options)));
    expect(together.map(({ ids }) => ids)).toEqual(alone);
    expect(new Set(alone.map(String)).size).toBeGreaterThan(settings.length);
  });
});

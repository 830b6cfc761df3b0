import { describe, expect, test } from "bun:test";
import type { ContinuousBatchingServer } from "../../src/index.ts";
import { Prng } from "./prng.ts";
import {
  type Answer,
  collect,
  GOLDEN,
  GOLDEN_4BIT,
  type GoldenEntry,
  request,
  settle,
  startServer,
  TINY_CHAT,
  TINY_CHAT_4BIT,
} from "./tiny-chat.ts";

/** Decisions closer than this may go either way by rounding. */
const NEAR_TIE = 0.02;

function ask(server: ContinuousBatchingServer, entry: GoldenEntry): Promise<Answer> {
  const { prompt_token_ids, completion_token_ids, finish_reason } = entry;
  const maxTokens = finish_reason === "length" ? completion_token_ids.length : null;
  return collect(server.submit(request(prompt_token_ids, { maxTokens })));
}

/** Equal up to where a near-tie may have gone the other way; the end token is ours alone. */
function expectGolden(answers: readonly Answer[], entries: readonly GoldenEntry[]): void {
  const same = answers.filter((answer, i) => {
    const { id, completion_text, completion_token_ids: want, finish_reason, min_margin } = entries[i]!;
    const got = answer.finishReason === "stop" ? answer.ids.slice(0, -1) : answer.ids;
    const difference = want.findIndex((token, at) => got[at] !== token);
    if (difference >= 0 || got.length !== want.length) {
      expect(min_margin, `conversation ${id} differs at token ${difference}`).toBeLessThan(NEAR_TIE);
      return false;
    }
    expect({ id, text: answer.text, reason: answer.finishReason }).toEqual({ id, text: completion_text, reason: finish_reason });
    return true;
  });
  expect(same.length).toBeGreaterThanOrEqual(entries.filter(({ min_margin }) => min_margin >= NEAR_TIE).length);
}

const models: [name: string, directory: string, entries: readonly GoldenEntry[]][] = [
  ["tiny-chat", TINY_CHAT, GOLDEN],
  ["tiny-chat-4bit", TINY_CHAT_4BIT, GOLDEN_4BIT],
];

describe.each(models)("golden conversations of %s", (_name, directory, entries) => {
  test("one by one", async () => {
    const server = await startServer({ maxBatchSize: 1 }, directory);
    const answers: Answer[] = [];
    for (const entry of entries) answers.push(await ask(server, entry));
    expectGolden(answers, entries);
    await server.close();
  });

  const crowds: [name: string, options: Parameters<typeof startServer>[0]][] = [
    ["all at once, arriving at random times", {}],
    ["all at once, their rows moving between size classes, in small steps", { smallestSizeClass: 16, maxTokensPerStep: 48 }],
    ["all at once, in a batch that is too small for them", { smallestSizeClass: 64, maxBatchSize: 7 }],
  ];
  test.each(crowds)("%s", async (_crowd, options) => {
    const random = new Prng(77);
    const server = await startServer(options, directory);
    const delays = entries.map(() => random.int(0, 400));
    const answers = await Promise.all(entries.map((entry, i) => Bun.sleep(delays[i]!).then(() => ask(server, entry))));
    expectGolden(answers, entries);
    await settle(server);
    expect(server.stats().totalRequests).toBe(entries.length);
    await server.close();
  });
});

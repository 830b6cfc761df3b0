import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type Answer, ask, askWhole, lengthy, type Question, say } from "./ask.ts";
import { expectGolden, goldenEntries, nearTie, questionOf } from "./golden.ts";
import { isIdle, type Served, startServer, until } from "./serve.ts";

let server: Served;
beforeAll(async () => {
  server = await startServer();
});
afterAll(() => server.stop());

const count = say("Count from 1 to 20.");
const story = say("Tell me a short story about a fox.");

/** Requests that must get alone and in a crowd the same answer. */
const varied: Record<string, Question> = {
  "sampled with a seed": { messages: story, temperature: 1, seed: 11, max_tokens: 90 },
  nucleus: { messages: story, temperature: 0.9, top_p: 0.8, seed: 12, max_tokens: 70 },
  "top_k and min_p": { messages: story, temperature: 1.2, top_k: 12, min_p: 0.05, seed: 13, max_tokens: 60 },
  hot: { messages: say("Say something."), temperature: 2, seed: 14, max_tokens: 40, ignore_eos: true },
  logprobs: { messages: say("What is the capital of France?"), temperature: 0, logprobs: true, top_logprobs: 5 },
  "logprobs of a sampled one": { messages: story, temperature: 1, seed: 15, logprobs: true, top_logprobs: 20, max_tokens: 30 },
  "a stop string over tokens": { messages: count, temperature: 0, stop: [", 7,"] },
  "stop strings that never come": { messages: count, temperature: 0, stop: ["5, 7", "###"], max_tokens: 60 },
  penalties: { messages: story, temperature: 0, frequency_penalty: 1.5, presence_penalty: 0.5, max_tokens: 60 },
  "a repetition penalty": { messages: story, temperature: 0, repetition_penalty: 1.3, max_tokens: 60 },
  "a logit bias": { messages: story, temperature: 0, logit_bias: { "260": -100, "13": 5 }, max_tokens: 50 },
  "two choices": { messages: story, temperature: 1, seed: 16, n: 2, max_tokens: 50 },
  "four choices": { messages: story, temperature: 1.5, seed: 17, n: 4, max_tokens: 25, ignore_eos: true },
  "one token": { messages: story, temperature: 0, max_tokens: 1 },
  "no token": { messages: story, temperature: 0, max_tokens: 0 },
  "at least so many tokens": { messages: say("What is the capital of France?"), temperature: 0, min_tokens: 30, max_tokens: 40 },
  "past the end token": { messages: say("Hello!"), temperature: 0, ignore_eos: true, max_tokens: 300 },
};

/** What must be equal; log-probabilities differ in the last digits by the size of the batch. */
const essence = ({ choices, usage }: Answer) => ({
  usage,
  choices: choices.map(({ text, finishReason, tokens }) => ({ text, finishReason, tokens: tokens.map(({ token }) => token) })),
});

function expectSame(name: string, alone: Answer, crowded: Answer): void {
  expect({ name, ...essence(crowded) }).toEqual({ name, ...essence(alone) });
  const logprobs = (answer: Answer) => answer.choices.flatMap(({ tokens }) => tokens.map(({ logprob }) => logprob));
  const before = logprobs(alone);
  logprobs(crowded).forEach((logprob, index) => {
    expect(logprob).toBeCloseTo(before[index]!, 2);
  });
}

test("64 streams of all kinds at once: every answer is right, and the server is empty afterwards", async () => {
  const alone = new Map<string, Answer>();
  for (const [name, question] of Object.entries(varied)) alone.set(name, await askWhole(server.openai, question));

  const golden = goldenEntries.map((entry) => ({
    question: questionOf(entry),
    check: (answer: Answer) => expectGolden(entry, answer),
  }));
  const others = Object.entries(varied).map(([name, question]) => ({
    question,
    check: (answer: Answer) => expectSame(name, alone.get(name)!, answer),
  }));
  const crowd = [...golden, ...others, ...golden.slice(0, 64 - golden.length - others.length)];
  expect(crowd).toHaveLength(64);
  let most = 0;
  const watch = setInterval(async () => {
    most = Math.max(most, (await server.health()).active_requests);
  }, 50);
  const answers = await Promise.all(crowd.map(({ question }) => ask(server.openai, question)));
  clearInterval(watch);
  crowd.forEach(({ check }, index) => {
    check(answers[index]!);
  });
  expect(most).toBeGreaterThan(32);
  await until(server, isIdle);
});

test("what was asked for is done: stop strings, penalties, logprobs, choices", async () => {
  const get = async (name: string) => (await ask(server.openai, varied[name]!)).choices;
  const [stopped] = await get("a stop string over tokens");
  expect(stopped).toMatchObject({ text: "1, 2, 3, 4, 5, 6", finishReason: "stop" });

  const [plain] = (await ask(server.openai, { messages: story, temperature: 0, max_tokens: 60 })).choices;
  const [penalized] = await get("penalties");
  expect(penalized!.text).not.toBe(plain!.text);

  const [france] = await get("logprobs");
  expect(france!.tokens.map(({ token }) => token).join("")).toBe("The capital of France is Paris.");
  for (const { token, logprob, bytes, top_logprobs } of france!.tokens) {
    expect(top_logprobs).toHaveLength(5);
    expect(top_logprobs[0]).toEqual({ token, logprob, bytes });
    expect(Buffer.from(bytes!).toString()).toBe(token);
    expect(top_logprobs.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeWithin(0.9, 1.0001);
  }

  const texts = (await get("four choices")).map(({ text }) => text);
  expect(new Set(texts).size).toBe(4);
  const alone = await ask(server.openai, { ...varied["four choices"]!, n: 1 });
  expect(texts[0]).toBe(alone.choices[0]!.text);

  const [forced] = await get("at least so many tokens");
  expect(forced!.text.length).toBeGreaterThan("The capital of France is Paris.".length);
});

test("log-probabilities are mlx-lm's", async () => {
  const entries = goldenEntries.filter((entry) => entry.min_margin >= nearTie && "top_logprobs" in entry);
  expect(entries.length).toBeGreaterThan(5);
  await Promise.all(
    entries.map(async (entry) => {
      const answer = await ask(server.openai, { ...questionOf(entry), logprobs: true, top_logprobs: 5 });
      const expected = (entry as unknown as { top_logprobs: [id: number, logprob: number][][] }).top_logprobs;
      expected.forEach((top, position) => {
        const token = answer.choices[0]!.tokens[position];
        // The end token is not part of the list.
        if (token === undefined) return;
        top.forEach(([, logprob], rank) => {
          expect(token.top_logprobs[rank]!.logprob).toBeCloseTo(logprob, 2);
        });
      });
    }),
  );
});

describe("nobody waits for the longest", () => {
  test("a request for 20 tokens is done in under 40 % of the time of those for 200 that were sent with it", async () => {
    for (const way of [ask, askWhole]) {
      const begun = performance.now();
      const long = Array.from({ length: 15 }, (_, index) => way(server.openai, lengthy(200, index)));
      const short = await way(server.openai, lengthy(20));
      const ends = (await Promise.all(long)).map(({ endedAt }) => endedAt - begun);
      expect(short.usage?.completion_tokens).toBe(20);
      expect((short.endedAt - begun) / Math.min(...ends)).toBeLessThan(0.4);
    }
  });

  test("one that comes while others generate gets its first token, and its last, before they end", async () => {
    const arrived = Promise.withResolvers<void>();
    let pieces = 0;
    const onText = () => {
      if (++pieces === 200) arrived.resolve();
    };
    const running = Array.from({ length: 12 }, (_, index) => ask(server.openai, lengthy(300, index), { onText }));
    await arrived.promise;
    const late = await ask(server.openai, { messages: say("What is the capital of France?"), temperature: 0 });
    const ends = (await Promise.all(running)).map(({ endedAt }) => endedAt);
    expect(late.choices[0]?.text).toBe("The capital of France is Paris.");
    expect(late.firstTextAt).toBeLessThan(late.endedAt + 1);
    expect(late.endedAt).toBeLessThan(Math.min(...ends));
  });

  test("a long prompt does not stop those that generate", async () => {
    const gaps: number[] = [];
    let last = performance.now();
    const onText = () => {
      gaps.push(performance.now() - last);
      last = performance.now();
    };
    const running = ask(server.openai, lengthy(150), { onText });
    await until(server, ({ active_requests }) => active_requests === 1);
    const begun = performance.now();
    await askWhole(server.openai, { messages: say("word ".repeat(3000)), max_tokens: 1 });
    const prefill = performance.now() - begun;
    await running;
    // The prompt comes in chunks between the other's tokens.
    expect(Math.max(...gaps)).toBeLessThan(prefill / 2);
  });
});

test("GET /health answers within 50 ms at the 99th percentile while 64 streams run", async () => {
  const controller = new AbortController();
  const running = Array.from({ length: 64 }, (_, index) =>
    ask(server.openai, lengthy(4000, index), { signal: controller.signal }).catch(() => null),
  );
  await until(server, ({ active_requests }) => active_requests === 64);
  // In a process of its own: this one is busy with reading 64 streams.
  const probe = Bun.spawn([process.execPath, join(import.meta.dir, "health-probe.ts"), server.url, "200"], { stdout: "pipe" });
  const { percentile99, fewest } = (await probe.stdout.json()) as { percentile99: number; fewest: number };
  controller.abort();
  await Promise.all(running);
  expect(fewest).toBe(64);
  expect(percentile99).toBeLessThan(50);
});

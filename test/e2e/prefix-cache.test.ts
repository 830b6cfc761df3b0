import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ask, askWhole, lengthy, type Question } from "./ask.ts";
import { cachedOf, first, guide, next, PrefixScene, topicsOf, wholeBlocks } from "./prefix-scene.ts";
import { expectSameAnswer } from "./same-answer.ts";
import { heldBytes, isIdle, type Served, startServer, until } from "./serve.ts";

const scene = new PrefixScene();
beforeAll(() => scene.open());
afterAll(() => scene.close());

describe("in memory", () => {
  let server: Served;
  beforeAll(async () => {
    server = await startServer([], scene.env);
  });
  afterAll(() => server.stop());

  test.each([ask, askWhole])("the second turn of a chat computes what is new only: usage and log say so", async (way) => {
    const opening = first(`chats, ${way.name}`);
    const one = await way(server.openai, opening);
    expect(cachedOf(one)).toBe(0);
    expectSameAnswer(one, await askWhole(scene.plain.openai, opening), "the first turn");
    const two = await way(server.openai, next(opening, one));
    const known = one.usage!.prompt_tokens + one.usage!.completion_tokens;
    expect(cachedOf(two)).toBe(wholeBlocks(cachedOf(two)));
    // The template may end a message otherwise than it begins an answer.
    expect(cachedOf(two)).toBeWithin(wholeBlocks(known - 8), known + 1);
    expectSameAnswer(two, await askWhole(scene.plain.openai, next(opening, one)), "the second turn");
    expect(server.log()).toContain(`promptTokens=${two.usage!.prompt_tokens} cachedTokens=${cachedOf(two)} `);
  });

  test("the choices of one request share a prompt, which counts as cached only when it was there before", async () => {
    const body = {
      model: "default",
      prompt: guide("choices"),
      max_tokens: 4,
      n: 4,
      temperature: 1,
      seed: 3,
      stream: false as const,
    };
    const cold = await server.openai.completions.create(body);
    expect(cold.usage?.prompt_tokens_details?.cached_tokens).toBe(0);
    const warm = await server.openai.completions.create(body);
    expect(warm.usage?.prompt_tokens_details?.cached_tokens).toBe(wholeBlocks(warm.usage!.prompt_tokens - 1));
    expect(warm.choices.map(({ text }) => text)).toEqual(cold.choices.map(({ text }) => text));
    const streamed = await server.openai.completions.create({ ...body, stream: true, stream_options: { include_usage: true } });
    let cached = Number.NaN;
    for await (const { usage } of streamed) cached = usage?.prompt_tokens_details?.cached_tokens ?? cached;
    expect(cached).toBe(wholeBlocks(warm.usage!.prompt_tokens - 1));
    const chat = await ask(server.openai, { ...first("choices of a chat"), n: 3 });
    expect(cachedOf(chat)).toBe(0);
    expect(new Set(chat.choices.map(({ text }) => text)).size).toBe(1);
  });

  test("thirty requests with one beginning, all at once, are answered as if alone", async () => {
    const opening = first("crowds");
    const questions = Array.from({ length: 30 }, (_, i): Question => {
      const messages: Question["messages"] = [opening.messages[0]!, { role: "user", content: `Count from ${i} to 20.` }];
      return { ...opening, messages, max_tokens: 12 };
    });
    const answers = await Promise.all(questions.map((question) => ask(server.openai, question)));
    const alone = await Promise.all(questions.map((question) => ask(scene.plain.openai, question)));
    answers.forEach((answer, i) => {
      expectSameAnswer(answer, alone[i]!, `${i}`);
    });
    // One computes, the others wait for it.
    expect(answers.filter((answer) => cachedOf(answer) > 0).length).toBe(29);
  });

  test("a salt divides, and DELETE /v1/cache forgets", async () => {
    const question = first("salts");
    const full = wholeBlocks((await askWhole(server.openai, question)).usage!.prompt_tokens - 1);
    const cachedWith = async (salt: object) => cachedOf(await askWhole(server.openai, { ...question, ...salt }));
    expect(await cachedWith({})).toBe(full);
    expect(await cachedWith({ cache_salt: "a" })).toBe(0);
    expect(await cachedWith({ cache_salt: "a" })).toBe(full);
    expect(await cachedWith({ cache_salt: "b" })).toBe(0);
    const { stats } = await server.health();
    expect(stats.prefix_cache_bytes).toBeGreaterThan(0);
    expect(stats.prefix_cache_hit_rate).toBeWithin(0.01, 0.99);
    const response = await fetch(`${server.url}/v1/cache`, { method: "DELETE" });
    const { deleted, bytes } = (await response.json()) as { deleted: boolean; bytes: number };
    expect(deleted).toBe(true);
    expect(bytes).toBe(stats.prefix_cache_bytes);
    expect((await server.health()).stats.prefix_cache_bytes).toBe(0);
    expect(await cachedWith({})).toBe(0);
    expect(await cachedWith({})).toBe(full);
  });
});

test("without memory for it nothing is taken up", async () => {
  const answers = [await askWhole(scene.plain.openai, first("nothing")), await askWhole(scene.plain.openai, first("nothing"))];
  expect(answers.map(cachedOf)).toEqual([0, 0]);
});

test("each key has prefixes of its own, unless they are shared", async () => {
  await scene.withServers(async (start) => {
    const keys = ["--api-key", "a", "--api-key", "b"];
    const [apart, shared] = await Promise.all([start(keys), start([...keys, "--share-prefix-cache"])]);
    const cachedBy = async ({ openai }: Served, apiKey: string) =>
      cachedOf(await askWhole(openai.withOptions({ apiKey }), first("keys"))) > 0;
    expect([await cachedBy(apart, "a"), await cachedBy(apart, "b"), await cachedBy(apart, "b")]).toEqual([false, false, true]);
    expect([await cachedBy(shared, "a"), await cachedBy(shared, "b")]).toEqual([false, true]);
  });
});

test("with little memory answers are right, and the memory stays little", async () => {
  await scene.withServers(async (start) => {
    // Of blocks and of everything: a block of this model takes 393 kB.
    const few = await start(["--prefix-cache-memory", "2MB"]);
    const weights = heldBytes(await few.health());
    const topics = topicsOf("little memory", 12);
    await scene.askAll(few, topics);
    await scene.askAll(few, topics);
    await until(few, (health) => isIdle(health) && heldBytes(health) < weights * 1.05, 5);
    expect((await few.health()).stats.prefix_cache_bytes).toBeWithin(1, 2e6 + 1);

    const tight = await start(["--memory-limit", "40MB"]);
    await scene.askAll(tight, topics);
    const crowd = Array.from({ length: 24 }, (_, i) => askWhole(tight.openai, lengthy(300, i)));
    await scene.askAll(tight, topics);
    for (const { usage } of await Promise.all(crowd)) expect(usage?.completion_tokens).toBe(300);
    expect((await until(tight, isIdle)).stats.peak_memory_bytes).toBeLessThan(55e6);
  });
});

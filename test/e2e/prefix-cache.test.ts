import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Answer, ask, askWhole, lengthy, type Question } from "./ask.ts";
import { comparable, expectSameAnswer } from "./same-answer.ts";
import { isIdle, runToEnd, type Served, startServer, until } from "./serve.ts";

const scratch = mkdtempSync(join(tmpdir(), "mlx-cb-prefixes-"));
/** The embedded model is unpacked once: another copy would be another model. */
const env = { MLX_CB_CACHE: join(scratch, "libraries") };
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const BLOCK = 64;

/** Some hundred tokens that no other topic begins with. */
const guide = (topic: string) =>
  `About ${topic}. ${["Answer in one short sentence.", "Be kind, calm and exact.", "Numbers are written as digits."].join(" ")} `.repeat(
    8,
  );

const first = (topic: string): Question => ({
  ...comparable,
  messages: [
    { role: "system", content: guide(topic) },
    { role: "user", content: "Tell me a short story about a fox." },
  ],
  max_tokens: 24,
});

/** The conversation goes on from an answer. */
const next = (question: Question, { choices }: Answer): Question => ({
  ...question,
  messages: [
    ...question.messages,
    { role: "assistant", content: choices[0]!.text },
    { role: "user", content: "What is the capital of France?" },
  ],
});

const cachedOf = ({ usage }: Answer): number => usage?.prompt_tokens_details?.cached_tokens ?? Number.NaN;
const wholeBlocks = (tokens: number) => Math.floor(tokens / BLOCK) * BLOCK;

/** What a server without the cache answers to each topic's first question. */
const references = new Map<string, Answer>();
let plain: Served;
async function referenceOf(topic: string): Promise<Answer> {
  const known = references.get(topic) ?? (await askWhole(plain.openai, first(topic)));
  references.set(topic, known);
  return known;
}
beforeAll(async () => {
  plain = await startServer(["--prefix-cache-memory", "0"], env);
});
afterAll(() => plain.stop());

/** Asks about all topics at once; every answer must be right. Returns how many tokens of the prompts were not computed. */
async function askAll({ openai }: Served, topics: readonly string[]): Promise<number> {
  const answers = await Promise.all(topics.map((topic, i) => (i % 2 ? ask : askWhole)(openai, first(topic))));
  for (const [i, topic] of topics.entries()) expectSameAnswer(answers[i]!, await referenceOf(topic), topic);
  return answers.reduce((sum, answer) => sum + cachedOf(answer), 0);
}

const topicsOf = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name} number ${i}`);

function blockFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".safetensors"))
    .map((name) => join(directory, name));
}

/** Servers of one test; ended with it, whatever happens. */
async function withServers<T>(use: (start: (args: readonly string[], fileBytes?: number) => Promise<Served>) => Promise<T>) {
  const started: Served[] = [];
  try {
    return await use(async (args, fileBytes) => {
      const server = await startServer(args, env, fileBytes === undefined ? {} : { fileBytes });
      started.push(server);
      return server;
    });
  } finally {
    await Promise.all(started.map((server) => server.stop()));
  }
}

describe("in memory", () => {
  let server: Served;
  beforeAll(async () => {
    server = await startServer([], env);
  });
  afterAll(() => server.stop());

  test.each([ask, askWhole])("the second turn of a chat computes what is new only: usage and log say so", async (way) => {
    const opening = first(`chats, ${way.name}`);
    const one = await way(server.openai, opening);
    expect(cachedOf(one)).toBe(0);
    expectSameAnswer(one, await askWhole(plain.openai, opening), "the first turn");
    const two = await way(server.openai, next(opening, one));
    const known = one.usage!.prompt_tokens + one.usage!.completion_tokens;
    expect(cachedOf(two) % BLOCK).toBe(0);
    // The template may end a message otherwise than it begins an answer.
    expect(cachedOf(two)).toBeWithin(wholeBlocks(known - 8), known + 1);
    expectSameAnswer(two, await askWhole(plain.openai, next(opening, one)), "the second turn");
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
    const alone = await Promise.all(questions.map((question) => ask(plain.openai, question)));
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
    const response = await fetch(`${server.url}/v1/cache`, { method: "DELETE" });
    const { deleted, bytes } = (await response.json()) as { deleted: boolean; bytes: number };
    expect(deleted).toBe(true);
    expect(bytes).toBeGreaterThan(0);
    expect(await cachedWith({})).toBe(0);
    expect(await cachedWith({})).toBe(full);
  });
});

test("without memory for it nothing is taken up", async () => {
  const answers = [await askWhole(plain.openai, first("nothing")), await askWhole(plain.openai, first("nothing"))];
  expect(answers.map(cachedOf)).toEqual([0, 0]);
});

test("each key has prefixes of its own, unless they are shared", async () => {
  await withServers(async (start) => {
    const keys = ["--api-key", "a", "--api-key", "b"];
    const [apart, shared] = await Promise.all([start(keys), start([...keys, "--share-prefix-cache"])]);
    const cachedBy = async ({ openai }: Served, apiKey: string) =>
      cachedOf(await askWhole(openai.withOptions({ apiKey }), first("keys"))) > 0;
    expect([await cachedBy(apart, "a"), await cachedBy(apart, "b"), await cachedBy(apart, "b")]).toEqual([false, false, true]);
    expect([await cachedBy(shared, "a"), await cachedBy(shared, "b")]).toEqual([false, true]);
  });
});

test("with little memory answers are right, and the memory stays little", async () => {
  await withServers(async (start) => {
    // Of blocks and of everything: a block of this model takes 393 kB.
    const few = await start(["--prefix-cache-memory", "2MB"]);
    const weights = (await few.health()).stats.active_memory_bytes;
    const topics = topicsOf("little memory", 12);
    await askAll(few, topics);
    await askAll(few, topics);
    await until(few, (health) => isIdle(health) && health.stats.active_memory_bytes < weights * 1.05 + 2e6, 5);

    const tight = await start(["--memory-limit", "40MB"]);
    await askAll(tight, topics);
    const crowd = Array.from({ length: 24 }, (_, i) => askWhole(tight.openai, lengthy(300, i)));
    await askAll(tight, topics);
    for (const { usage } of await Promise.all(crowd)) expect(usage?.completion_tokens).toBe(300);
    expect(Number((await until(tight, isIdle)).stats.peak_memory_gb)).toBeLessThan(0.06);
  });
});

describe("on disk", () => {
  test("survives a restart, belongs to the user, and is forgotten on demand", async () => {
    const directory = join(scratch, "restart");
    const topics = topicsOf("restarts", 4);
    await withServers(async (start) => {
      const one = await start(["--prefix-cache-dir", directory]);
      expect(await askAll(one, topics)).toBe(0);
      expect(await one.stop()).toBe(0);
      for (const path of [directory, ...blockFiles(directory)]) expect(statSync(path).mode & 0o077).toBe(0);

      const two = await start(["--prefix-cache-dir", directory]);
      const prompt = (await referenceOf(topics[0]!)).usage!.prompt_tokens;
      expect(await askAll(two, topics)).toBe(4 * wholeBlocks(prompt - 1));
      const opening = first(topics[0]!);
      expect(cachedOf(await ask(two.openai, next(opening, await ask(two.openai, opening))))).toBeGreaterThan(0);
      expect((await fetch(`${two.url}/v1/cache`, { method: "DELETE" })).status).toBe(200);
      expect(blockFiles(directory)).toEqual([]);
      expect(await askAll(two, topics)).toBe(0);
    });
  });

  test("a kill in the middle of writing, twice, does no harm", async () => {
    const directory = join(scratch, "killed");
    const topics = topicsOf("kills", 16);
    for (const topic of topics) await referenceOf(topic);
    await withServers(async (start) => {
      for (let round = 1; round <= 2; round++) {
        const server = await start(["--prefix-cache-dir", directory]);
        const asked = topics.map((topic) => askWhole(server.openai, first(topic)).catch(() => null));
        while (!readdirSync(directory).length || blockFiles(directory).length < 8 * round) await Bun.sleep(1);
        await server.kill();
        await Promise.all(asked);
      }
      const after = await start(["--prefix-cache-dir", directory]);
      expect(await askAll(after, topics)).toBeGreaterThan(0);
    });
  });

  test("bits that have changed on disk are never taken up", async () => {
    const directory = join(scratch, "bits");
    const topics = topicsOf("bits", 6);
    await withServers(async (start) => {
      const one = await start(["--prefix-cache-dir", directory]);
      await askAll(one, topics);
      await one.stop();
      const files = blockFiles(directory);
      expect(files.length).toBeGreaterThan(20);
      for (const [i, path] of files.entries()) {
        const bytes = readFileSync(path);
        if (i % 5 === 0) continue;
        if (i % 5 === 1) truncateSync(path, (i * 7919) % bytes.length);
        else if (i % 5 === 2) writeFileSync(path, Buffer.concat([bytes, bytes.subarray(0, 64)]));
        else {
          // In the header, and in the numbers.
          const at = (i * 104_729) % (i % 5 === 3 ? 256 : bytes.length);
          bytes[at] = bytes[at]! ^ (1 << (i % 8));
          writeFileSync(path, bytes);
        }
      }
      const two = await start(["--prefix-cache-dir", directory]);
      const cached = await askAll(two, topics);
      expect(cached).toBeGreaterThan(0);
      await two.stop();
      // What was met has been replaced by good ones.
      const three = await start(["--prefix-cache-dir", directory]);
      expect(await askAll(three, topics)).toBeGreaterThan(cached);
    });
  });

  test("two servers share a directory, also while both write", async () => {
    const directory = join(scratch, "shared");
    const topics = topicsOf("neighbours", 6);
    await withServers(async (start) => {
      const [one, two] = await Promise.all([
        start(["--prefix-cache-dir", directory]),
        start(["--prefix-cache-dir", directory, "--prefix-cache-disk", "6MB"]),
      ]);
      await Promise.all([askAll(one, topics), askAll(two, topics)]);
      expect(await askAll(one, ["a late topic"])).toBe(0);
      const written = () => blockFiles(directory).length;
      for (let before = -1; before !== written(); ) {
        before = written();
        await Bun.sleep(100);
      }
      expect(await askAll(two, ["a late topic"])).toBeGreaterThan(0);
    });
  });

  test("a directory that is none stops the start, one that is taken away ends the writing with a warning", async () => {
    const none = join(scratch, "file");
    writeFileSync(none, "");
    for (const directory of [none, join(none, "below")]) {
      const { code, stderr } = await runToEnd(["--port", "0", "--prefix-cache-dir", directory], env);
      expect(code).toBe(1);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(stderr).toMatch(/^mlx-cb-serve: the prefix cache's directory .*file cannot be used|below cannot be used/);
    }
    const directory = join(scratch, "away");
    await withServers(async (start) => {
      const server = await start(["--prefix-cache-dir", directory]);
      await askAll(server, topicsOf("before", 2));
      renameSync(directory, `${directory}-else`);
      writeFileSync(directory, "");
      await askAll(server, topicsOf("after", 3));
      expect(await askAll(server, topicsOf("after", 3))).toBeGreaterThan(0);
      expect(server.log().match(/ warn .*takes no more computed prefixes/g)).toHaveLength(1);
      expect(await server.stop()).toBe(0);
    });
  });

  test("a full disk ends the writing with a warning and leaves no half blocks", async () => {
    const directory = join(scratch, "full");
    const topics = topicsOf("full disks", 3);
    await withServers(async (start) => {
      const server = await start(["--prefix-cache-dir", directory], 200_000);
      await askAll(server, topics);
      expect(await askAll(server, topics)).toBeGreaterThan(0);
      expect(server.log().match(/ warn .*takes no more computed prefixes/g)).toHaveLength(1);
      expect(await server.stop()).toBe(0);
      expect(readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())).toEqual([]);
    });
  });
});

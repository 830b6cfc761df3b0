/** Questions with a long beginning, what a server without a prefix cache answers to them, and servers that have one. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Answer, ask, askWhole, type Question } from "./ask.ts";
import { comparable, expectSameAnswer } from "./same-answer.ts";
import { type Served, startServer } from "./serve.ts";

const BLOCK = 64;

/** Some hundred tokens that no other topic begins with. */
export const guide = (topic: string) =>
  `About ${topic}. ${["Answer in one short sentence.", "Be kind, calm and exact.", "Numbers are written as digits."].join(" ")} `.repeat(
    8,
  );

export const first = (topic: string): Question => ({
  ...comparable,
  messages: [
    { role: "system", content: guide(topic) },
    { role: "user", content: "Tell me a short story about a fox." },
  ],
  max_tokens: 24,
});

/** The conversation goes on from an answer. */
export const next = (question: Question, { choices }: Answer): Question => ({
  ...question,
  messages: [
    ...question.messages,
    { role: "assistant", content: choices[0]!.text },
    { role: "user", content: "What is the capital of France?" },
  ],
});

export const topicsOf = (name: string, count: number) => Array.from({ length: count }, (_, i) => `${name} number ${i}`);
export const cachedOf = ({ usage }: Answer): number => usage?.prompt_tokens_details?.cached_tokens ?? Number.NaN;
export const wholeBlocks = (tokens: number) => Math.floor(tokens / BLOCK) * BLOCK;

export function blockFiles(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".safetensors"))
    .map((name) => join(directory, name));
}

export type Start = (args: readonly string[], fileBytes?: number) => Promise<Served>;

/** What the tests of one file share. */
export class PrefixScene {
  readonly scratch = mkdtempSync(join(tmpdir(), "mlx-cb-prefixes-"));
  /** The embedded model is unpacked once: another copy would be another model. */
  readonly env = { MLX_CB_CACHE: join(this.scratch, "libraries") };
  /** What a server without the cache answers to each topic's first question. */
  readonly #references = new Map<string, Answer>();
  #plain: Served | null = null;

  async open(): Promise<void> {
    this.#plain = await startServer(["--prefix-cache-memory", "0"], this.env);
  }

  async close(): Promise<void> {
    await this.#plain?.stop();
    rmSync(this.scratch, { recursive: true, force: true });
  }

  /** A server that keeps no prefixes. */
  get plain(): Served {
    if (this.#plain === null) throw new Error("the scene is not open");
    return this.#plain;
  }

  async referenceOf(topic: string): Promise<Answer> {
    const known = this.#references.get(topic) ?? (await askWhole(this.plain.openai, first(topic)));
    this.#references.set(topic, known);
    return known;
  }

  /** Asks about all topics at once; every answer must be right. Returns how many tokens of the prompts were not computed. */
  async askAll({ openai }: Served, topics: readonly string[]): Promise<number> {
    const answers = await Promise.all(topics.map((topic, i) => (i % 2 ? ask : askWhole)(openai, first(topic))));
    for (const [i, topic] of topics.entries()) expectSameAnswer(answers[i]!, await this.referenceOf(topic), topic);
    return answers.reduce((sum, answer) => sum + cachedOf(answer), 0);
  }

  /** Servers of one test; ended with it, whatever happens. */
  async withServers<T>(use: (start: Start) => Promise<T>): Promise<T> {
    const started: Served[] = [];
    try {
      return await use(async (args, fileBytes) => {
        const server = await startServer(args, this.env, fileBytes === undefined ? {} : { fileBytes });
        started.push(server);
        return server;
      });
    } finally {
      await Promise.all(started.map((server) => server.stop()));
    }
  }
}

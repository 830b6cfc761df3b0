/** Prompts of an exact length in tokens, cut from a text. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { loadTokenizer, type Tokenizer } from "../../src/text/tokenizer.ts";
import type { TokenizerConfig } from "../../src/text/tokenizer-config.ts";

export interface BenchModel {
  name: string;
  directory: string;
  contextLength: number;
}

/** The same seed gives the same prompts, for whichever server they are. */
export interface PromptSource {
  prompts(seed: string, count: number, tokens: number): string[];
}

const readJson = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;

export function openModel(directory: string, name: string): BenchModel {
  const { max_position_embeddings: contextLength } = readJson(join(directory, "config.json"));
  return { name, directory, contextLength: typeof contextLength === "number" ? contextLength : 4096 };
}

export class Corpus implements PromptSource {
  readonly #words: readonly string[];
  readonly #tokenizer: Tokenizer;

  constructor(text: string, modelDirectory: string) {
    this.#words = text.split(/\s+/);
    this.#tokenizer = loadTokenizer({
      tokenizerJson: readJson(join(modelDirectory, "tokenizer.json")),
      tokenizerConfig: readJson(join(modelDirectory, "tokenizer_config.json")) as TokenizerConfig,
    });
  }

  count(prompt: string): number {
    return this.#tokenizer.encode(prompt, { addSpecialTokens: false }).length;
  }

  /** Different from the first word on, so that a prefix cache finds no more than the template. */
  prompts(seed: string, count: number, tokens: number): string[] {
    return Array.from({ length: count }, (_, index) => {
      const hash = Bun.hash(`${seed} ${index}`);
      const nonce = (hash & 0xffffffffn).toString(16).padStart(8, "0");
      const start = Number(hash % BigInt(this.#words.length));
      // Round and round, until there is enough text.
      let ids: number[] = [];
      for (let wanted = tokens; ids.length < tokens; wanted *= 2) {
        const words = Array.from({ length: wanted }, (_, i) => this.#words[(start + i) % this.#words.length]);
        ids = this.#tokenizer.encode([nonce, ...words].join(" "), { addSpecialTokens: false });
      }
      return this.#tokenizer.decode(ids.slice(0, tokens), { skipSpecialTokens: true });
    });
  }
}

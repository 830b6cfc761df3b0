import { isRecord } from "../tokenizer-config.ts";
import { Bpe } from "./bpe.ts";
import { Unigram } from "./unigram.ts";
import type { Vocabulary } from "./vocabulary.ts";
import { WordLevel, WordPiece } from "./word-piece.ts";

/** What makes ids of the words that a pre-tokenizer cuts. */
export interface Model {
  readonly vocabulary: Vocabulary;
  /** Appends the ids of one word. */
  encode(word: string, ids: number[]): void;
  /** The same for a word of any length, with a pause after every few hundred microseconds of work. */
  encodeLong(word: string, ids: number[]): Generator<void>;
}

/** The `model` of tokenizer.json. Old files do not name its type. Throws for one that is not known or not whole. */
export function readModel(config: Record<string, unknown>): Model {
  switch (config.type ?? guessType(config)) {
    case "BPE":
      return new Bpe(config);
    case "Unigram":
      return new Unigram(config);
    case "WordPiece":
      return new WordPiece(config);
    case "WordLevel":
      return new WordLevel(config);
    default:
      throw new Error(`unknown model ${JSON.stringify(config.type)}`);
  }
}

function guessType(config: Record<string, unknown>): string {
  if (Array.isArray(config.merges)) return "BPE";
  if (Array.isArray(config.vocab)) return "Unigram";
  return isRecord(config) && "max_input_chars_per_word" in config ? "WordPiece" : "WordLevel";
}

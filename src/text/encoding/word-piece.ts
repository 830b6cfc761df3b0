import type { Model } from "./model.ts";
import { readVocabulary, type Vocabulary } from "./vocabulary.ts";

/** Greedy, the longest token first; a word that cannot be covered, or is too long, is unknown as a whole. */
export class WordPiece implements Model {
  readonly vocabulary: Vocabulary;
  private readonly unknown: string;
  private readonly prefix: string;
  private readonly longestWord: number;
  private readonly longestToken: number;

  constructor(config: Record<string, unknown>) {
    this.vocabulary = readVocabulary(config.vocab);
    this.unknown = String(config.unk_token ?? "[UNK]");
    this.prefix = typeof config.continuing_subword_prefix === "string" ? config.continuing_subword_prefix : "##";
    this.longestWord = typeof config.max_input_chars_per_word === "number" ? config.max_input_chars_per_word : 100;
    this.longestToken = this.vocabulary.longest();
  }

  encode(word: string, ids: number[]): void {
    const characters = [...word];
    const pieces = characters.length > this.longestWord ? null : this.cover(characters);
    for (const id of pieces ?? [findUnknown(this.vocabulary, this.unknown)]) ids.push(id);
  }

  // biome-ignore lint/correctness/useYield: long words are unknown, so there is nothing to pause in.
  *encodeLong(word: string, ids: number[]): Generator<void> {
    this.encode(word, ids);
  }

  private cover(characters: readonly string[]): number[] | null {
    const pieces: number[] = [];
    for (let start = 0; start < characters.length; ) {
      let end = Math.min(characters.length, start + this.longestToken);
      let found: number | undefined;
      for (; end > start; end--) {
        const text = characters.slice(start, end).join("");
        found = this.vocabulary.idOf(start > 0 ? this.prefix + text : text);
        if (found !== undefined) break;
      }
      if (found === undefined) return null;
      pieces.push(found);
      start = end;
    }
    return pieces;
  }
}

/** Whole words only. */
export class WordLevel implements Model {
  readonly vocabulary: Vocabulary;
  private readonly unknown: string;

  constructor(config: Record<string, unknown>) {
    this.vocabulary = readVocabulary(config.vocab);
    this.unknown = String(config.unk_token ?? "<unk>");
  }

  encode(word: string, ids: number[]): void {
    ids.push(this.vocabulary.idOf(word) ?? findUnknown(this.vocabulary, this.unknown));
  }

  // biome-ignore lint/correctness/useYield: one look-up.
  *encodeLong(word: string, ids: number[]): Generator<void> {
    this.encode(word, ids);
  }
}

function findUnknown(vocabulary: Vocabulary, token: string): number {
  const id = vocabulary.idOf(token);
  if (id === undefined) throw new Error(`the vocabulary has no unknown token ${JSON.stringify(token)}`);
  return id;
}

/** Byte-pair encoding as in Rust's tokenizers: of all neighbours the pair of lowest rank is merged, the leftmost first. */
import { mergeLong, mergeShort } from "./bpe-merge.ts";
import type { Model } from "./model.ts";
import { PairMap } from "./pair-map.ts";
import { ByteIds, readVocabulary, type Vocabulary } from "./vocabulary.ts";

/** Longer words go through the queue, and are not kept. */
const shortWord = 64;
const keptWords = 20_000;
/** Units of a long word that are looked up between two pauses. */
const slice = 2048;

export class Bpe implements Model {
  readonly vocabulary: Vocabulary;
  /** Two ids to the rank of their merge and the id of what comes out. */
  private readonly merges: PairMap;
  private readonly unknown: number | null;
  private readonly fusesUnknown: boolean;
  /** Null: unknown characters do not fall back to bytes. */
  private readonly byteIds: ByteIds | null;
  private readonly ignoresMerges: boolean;
  private readonly prefix: string;
  private readonly suffix: string;
  private readonly kept = new Map<string, readonly number[]>();

  constructor(config: Record<string, unknown>) {
    this.vocabulary = readVocabulary(config.vocab);
    this.prefix = readText(config.continuing_subword_prefix);
    this.suffix = readText(config.end_of_word_suffix);
    this.unknown = this.vocabulary.idOf(readText(config.unk_token)) ?? null;
    this.fusesUnknown = config.fuse_unk === true;
    this.byteIds = config.byte_fallback === true ? new ByteIds(this.vocabulary) : null;
    this.ignoresMerges = config.ignore_merges === true;
    this.merges = readMerges(config.merges, this.vocabulary, this.prefix.length);
  }

  encode(word: string, ids: number[]): void {
    const known = this.kept.get(word) ?? this.compute(word);
    for (const id of known) ids.push(id);
  }

  *encodeLong(word: string, ids: number[]): Generator<void> {
    const whole = this.wholeWord(word);
    if (whole !== undefined) {
      ids.push(whole);
      return;
    }
    const symbols: number[] = [];
    for (let start = 0; start < word.length; ) {
      start = this.appendSymbols(word, start, start + slice, symbols);
      yield;
    }
    yield* mergeLong(symbols, this.merges, ids);
  }

  private compute(word: string): readonly number[] {
    const whole = this.wholeWord(word);
    const symbols = whole === undefined ? [] : [whole];
    if (whole === undefined) this.appendSymbols(word, 0, word.length, symbols);
    if (symbols.length <= shortWord) mergeShort(symbols, this.merges);
    else {
      const merged: number[] = [];
      for (const _ of mergeLong(symbols, this.merges, merged));
      return merged;
    }
    if (word.length <= shortWord) {
      if (this.kept.size >= keptWords) this.kept.clear();
      this.kept.set(word, symbols);
    }
    return symbols;
  }

  private wholeWord(word: string): number | undefined {
    return this.ignoresMerges ? this.vocabulary.idOf(word) : undefined;
  }

  /** The ids of the characters from `start` to about `end`, with bytes or the unknown token for those that have none. */
  private appendSymbols(word: string, start: number, end: number, symbols: number[]): number {
    let at = start;
    while (at < word.length && at < end) {
      const character = String.fromCodePoint(word.codePointAt(at)!);
      let text = at === 0 ? character : this.prefix + character;
      at += character.length;
      if (at === word.length) text += this.suffix;
      const id = this.vocabulary.idOf(text);
      if (id !== undefined) symbols.push(id);
      else if (this.byteIds?.append(text, symbols)) continue;
      else if (this.unknown !== null && !(this.fusesUnknown && symbols.at(-1) === this.unknown)) symbols.push(this.unknown);
    }
    return at;
  }
}

function readText(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function readMerges(list: unknown, vocabulary: Vocabulary, prefixLength: number): PairMap {
  if (!Array.isArray(list)) throw new Error("a BPE model has no merges");
  const merges = new PairMap(list.length);
  list.forEach((merge: unknown, rank) => {
    const [left, right] = splitMerge(merge);
    const ids = [left, right, left + right.slice(prefixLength)].map((token) => vocabulary.idOf(token));
    const [first, second, merged] = ids;
    if (first === undefined || second === undefined || merged === undefined) {
      throw new Error(`merge ${rank} is of tokens that the vocabulary does not have`);
    }
    merges.set(first, second, rank, merged);
  });
  return merges;
}

/** `["a", "b"]`, or `"a b"` in older files. */
export function splitMerge(merge: unknown): [string, string] {
  const parts: unknown[] = Array.isArray(merge) ? merge : String(merge).split(" ");
  if (parts.length !== 2 || typeof parts[0] !== "string" || typeof parts[1] !== "string") {
    throw new Error(`${JSON.stringify(merge)?.slice(0, 60)} is not a merge of two tokens`);
  }
  return [parts[0], parts[1]];
}

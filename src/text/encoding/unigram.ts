/** Unigram: the most probable way to cut a word into tokens (Viterbi), as in Rust's tokenizers. */
import type { Model } from "./model.ts";
import { PairMap } from "./pair-map.ts";
import { ByteIds, Vocabulary } from "./vocabulary.ts";

/** What an unknown character costs more than the rarest token. */
const unknownPenalty = 10;
/** Characters handled between two pauses. */
const stride = 512;

export class Unigram implements Model {
  readonly vocabulary = new Vocabulary();
  private readonly scores: number[] = [];
  private readonly unknown: number | null;
  private readonly unknownScore: number;
  /** Null: unknown characters do not fall back to bytes. */
  private readonly byteIds: ByteIds | null;
  /** Node and UTF-16 unit to the next node and the id of the token that ends there, -1 for none. */
  private readonly trie = new PairMap();

  constructor(config: Record<string, unknown>) {
    if (!Array.isArray(config.vocab) || config.vocab.length === 0) throw new Error("the vocabulary is not a list");
    for (const entry of config.vocab as unknown[]) {
      const [token, score] = Array.isArray(entry) ? (entry as unknown[]) : [];
      if (typeof token !== "string" || typeof score !== "number") throw new Error("the vocabulary has an entry without a score");
      this.vocabulary.add(token, this.scores.length);
      this.scores.push(score);
    }
    const unknown = config.unk_id;
    if (unknown !== null && unknown !== undefined && !(Number(unknown) < this.scores.length)) {
      throw new Error("unk_id is not in the vocabulary");
    }
    this.unknown = typeof unknown === "number" ? unknown : null;
    this.unknownScore = this.scores.reduce((least, score) => Math.min(least, score), 0) - unknownPenalty;
    this.byteIds = config.byte_fallback === true ? new ByteIds(this.vocabulary) : null;
    this.buildTrie();
  }

  encode(word: string, ids: number[]): void {
    for (const _ of this.encodeLong(word, ids));
  }

  *encodeLong(word: string, ids: number[]): Generator<void> {
    const length = word.length;
    const best = new Float64Array(length + 1);
    const from = new Int32Array(length + 1).fill(-1);
    const chosen = new Int32Array(length + 1);
    const offer = (start: number, end: number, id: number, score: number) => {
      if (from[end]! >= 0 && score <= best[end]!) return;
      best[end] = score;
      from[end] = start;
      chosen[end] = id;
    };
    for (let start = 0, turns = 1; start < length; turns++) {
      if (turns % stride === 0) yield;
      const width = word.codePointAt(start)! > 0xffff ? 2 : 1;
      let isCovered = false;
      let node = 0;
      for (let end = start; end < length; ) {
        const handle = this.trie.lookup(node, word.charCodeAt(end++));
        if (handle < 0) break;
        node = this.trie.first(handle);
        const id = this.trie.second(handle);
        if (id < 0) continue;
        offer(start, end, id, best[start]! + this.scores[id]!);
        isCovered ||= end - start === width;
      }
      if (!isCovered) offer(start, start + width, this.unknown ?? -1, best[start]! + this.unknownScore);
      start += width;
    }
    this.collect(word, from, chosen, ids);
  }

  /** Unknown stretches in a row are one. */
  private collect(word: string, from: Int32Array, chosen: Int32Array, ids: number[]): void {
    const ends: number[] = [];
    for (let end = word.length; end > 0; end = from[end]!) ends.push(end);
    for (let index = ends.length - 1; index >= 0; index--) {
      const start = from[ends[index]!]!;
      const isUnknown = (at: number) => at >= 0 && chosen[ends[at]!]! === (this.unknown ?? -1);
      if (!isUnknown(index)) {
        ids.push(chosen[ends[index]!]!);
        continue;
      }
      while (isUnknown(index - 1)) index--;
      this.pushUnknown(word.slice(start, ends[index]!), ids);
    }
  }

  private pushUnknown(text: string, ids: number[]): void {
    const whole = this.vocabulary.idOf(text);
    if (whole !== undefined) ids.push(whole);
    else if (this.byteIds?.append(text, ids)) return;
    else if (this.unknown !== null) ids.push(this.unknown);
    else throw new Error("a character is not in the vocabulary, which has no unknown token");
  }

  private buildTrie(): void {
    let nodes = 1;
    for (let id = 0; id < this.scores.length; id++) {
      const token = this.vocabulary.tokenOf(id)!;
      let node = 0;
      for (let at = 0; at < token.length; at++) {
        const unit = token.charCodeAt(at);
        const handle = this.trie.lookup(node, unit);
        const next = handle < 0 ? nodes++ : this.trie.first(handle);
        const isLast = at === token.length - 1;
        if (handle < 0 || isLast) this.trie.set(node, unit, next, isLast ? id : handle < 0 ? -1 : this.trie.second(handle));
        node = next;
      }
    }
  }
}

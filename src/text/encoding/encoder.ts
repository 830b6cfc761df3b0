import type { AddedToken, TokenizerJson } from "../tokenizer-config.ts";
import { AddedTokenMatcher, type Section } from "./added-tokens.ts";
import { type Frame, readFrame } from "./frame.ts";
import { type Model, readModel } from "./model.ts";
import { type Normalize, readNormalizer } from "./normalizer.ts";
import { type PreTokenize, readPreTokenizer } from "./pre-tokenizer.ts";
import { checkId, type Vocabulary } from "./vocabulary.ts";
import { canSplitWords, splitWordStarts } from "./word-starts.ts";

/** Longer words are worked on in slices. */
const longWord = 2048;
/** UTF-16 units of words between two pauses. */
const stride = 2048;

interface Stage {
  normalize: Normalize;
  preTokenize: PreTokenize;
}

/** A text's way to ids: added tokens, normalizer, added tokens again, pre-tokenizer, model. Throws for files it does not know. */
export class Encoder {
  readonly vocabulary: Vocabulary;
  readonly frame: Frame;
  readonly added: readonly AddedToken[];
  private readonly model: Model;
  /** For a text from its beginning, and for one that goes on after another. */
  private readonly stages: { start: Stage; rest: Stage };
  private readonly plain: AddedTokenMatcher;
  private readonly normalized: AddedTokenMatcher;
  /** Units since the last pause, over all short stretches. */
  private work = 0;

  constructor(json: TokenizerJson) {
    this.model = readModel(json.model);
    this.vocabulary = this.model.vocabulary;
    this.frame = readFrame(json.post_processor);
    const splits = canSplitWords(json.model);
    this.stages = { start: readStage(json, true, splits), rest: readStage(json, false, splits) };
    this.added = json.added_tokens.map((token) => ({ ...token, id: this.claimId(token) }));
    const isNormalized = (token: AddedToken) => token.normalized ?? token.special !== true;
    const { normalize } = this.stages.start;
    this.plain = new AddedTokenMatcher(this.added.filter((token) => !isNormalized(token)).map((token) => [token.content, token]));
    this.normalized = new AddedTokenMatcher(this.added.filter(isNormalized).map((token) => [normalize(token.content), token]));
  }

  /**
   * Appends the ids of a text, pausing after a few hundred microseconds of work each. `isStart` is false for a text that goes on
   * after another. What lies between two added tokens is treated as a text of its own.
   */
  *encode(text: string, isStart: boolean, ids: number[]): Generator<void> {
    const { start, rest } = this.stages;
    for (const [index, section] of this.plain.split(text).entries()) {
      if (typeof section === "number") {
        ids.push(section);
        continue;
      }
      const { normalize } = index > 0 || isStart ? start : rest;
      for (const [subindex, subsection] of this.normalized.split(normalize(section)).entries()) {
        const isFirst = index === 0 && subindex === 0;
        if (typeof subsection === "number") ids.push(subsection);
        else yield* this.encodeWords((isFirst && !isStart ? rest : start).preTokenize(subsection, isFirst && isStart), ids);
      }
    }
  }

  /** The words that the model would get, added tokens aside. */
  splitWords(text: string, isStart: boolean): Iterable<string> {
    const { normalize, preTokenize } = isStart ? this.stages.start : this.stages.rest;
    return preTokenize(normalize(text), isStart);
  }

  /** Whether an added token is the last thing in a text: what follows one is treated as a new text. */
  endsInToken(text: string): boolean {
    const isToken = (sections: Section[]) => typeof sections.at(-1) === "number";
    return isToken(this.plain.split(text)) || isToken(this.normalized.split(this.stages.start.normalize(text)));
  }

  private *encodeWords(words: Iterable<string>, ids: number[]): Generator<void> {
    for (const word of words) {
      if (word.length > longWord) yield* this.model.encodeLong(word, ids);
      else this.model.encode(word, ids);
      this.work += word.length;
      if (this.work < stride) continue;
      yield;
      this.work = 0;
    }
  }

  /** A token that the model has keeps the model's id, as in Rust. */
  private claimId({ content, id }: AddedToken): number {
    const known = this.vocabulary.idOf(content);
    if (known !== undefined) return known;
    this.vocabulary.add(content, checkId(id, content));
    return id;
  }
}

function readStage(json: TokenizerJson, isStart: boolean, splits: boolean): Stage {
  const preTokenize = readPreTokenizer(json.pre_tokenizer, isStart);
  return {
    normalize: readNormalizer(json.normalizer, isStart),
    preTokenize: splits ? splitWordStarts(preTokenize) : preTokenize,
  };
}

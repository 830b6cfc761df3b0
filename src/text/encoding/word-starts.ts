import { isRecord, type TokenizerJson } from "../tokenizer-config.ts";
import { splitMerge } from "./bpe.ts";
import type { PreTokenize } from "./pre-tokenizer.ts";

const mark = "▁";
const wordStart = /(?<=[^▁])(?=▁)/u;

/**
 * SentencePiece-style BPE gets the whole text as one word, which nothing can be kept of and which cannot be done in pieces. Where
 * no merge joins something before a ▁ with it, merging each word by itself gives the same tokens. That is shown from the merges.
 */
export function canSplitWords(model: TokenizerJson["model"]): boolean {
  if (model.ignore_merges || model.end_of_word_suffix || model.continuing_subword_prefix) return false;
  if (!isRecord(model.vocab) || !Object.hasOwn(model.vocab, mark) || !Array.isArray(model.merges)) return false;
  return model.merges.every((merge: unknown) => {
    const [left, right] = splitMerge(merge);
    return !right.startsWith(mark) || left.endsWith(mark);
  });
}

/** Cuts further: before each run of ▁. */
export function splitWordStarts(preTokenize: PreTokenize): PreTokenize {
  return function* (text, atStart) {
    for (const piece of preTokenize(text, atStart)) yield* piece.split(wordStart);
  };
}

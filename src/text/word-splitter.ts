import { PreTokenizer } from "@huggingface/tokenizers";
import { isRecord, type TokenizerJson } from "./tokenizer-config.ts";

const space = "▁";
const wordStart = /(?<=[^▁])(?=▁)/;

/**
 * SentencePiece-style BPE gets the whole text as one word, which defeats the library's cache and cannot be done in pieces. Where
 * no merge joins something before a ▁ with it, merging each word by itself gives the same tokens.
 */
export class WordSplitter extends PreTokenizer {
  private readonly inner: PreTokenizer | null;

  constructor(inner: PreTokenizer | null) {
    super();
    this.inner = inner;
  }

  override pre_tokenize_text(text: string, options?: { section_index?: number }): string[] {
    const words = this.inner ? this.inner.pre_tokenize(text, options) : [text];
    return words.flatMap((word) => word.split(wordStart));
  }
}

/** Whether words can be merged one by one: shown from the merges themselves. */
export function canSplitWords(model: TokenizerJson["model"]): boolean {
  if (model.ignore_merges || model.end_of_word_suffix || model.continuing_subword_prefix || model.continuing_subword_suffix)
    return false;
  if (!isRecord(model.vocab) || !Object.hasOwn(model.vocab, space) || !Array.isArray(model.merges)) return false;
  return model.merges.every((merge: unknown) => {
    const [left, right] = Array.isArray(merge) ? merge : String(merge).split(" ", 2);
    return !String(right).startsWith(space) || String(left).endsWith(space);
  });
}

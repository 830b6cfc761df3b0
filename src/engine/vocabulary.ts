import type { Vocabulary } from "../grammar/vocabulary.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** The tokens as grammars see them: those that have logits. */
export function vocabularyOf(tokenizer: Tokenizer, vocabSize: number, endTokenIds: readonly number[]): Vocabulary {
  return {
    size: Math.min(tokenizer.vocabSize, vocabSize),
    bytes: (id) => tokenizer.tokenBytes(id),
    isSpecial: (id) => tokenizer.isSpecial(id),
    endTokenIds,
  };
}

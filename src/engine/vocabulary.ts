import type { Vocabulary } from "../grammar/vocabulary.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** The tokens as grammars see them: those that have logits. Tokens whose texts do not simply follow each other have none. */
export function vocabularyOf(tokenizer: Tokenizer, vocabSize: number, endTokenIds: readonly number[]): Vocabulary {
  const follow = tokenizer.plan !== null && tokenizer.plan.separator.length === 0;
  return {
    size: Math.min(tokenizer.vocabSize, vocabSize),
    bytes: (id) => (follow ? tokenizer.tokenBytes(id) : new Uint8Array()),
    isSpecial: (id) => tokenizer.isSpecial(id),
    endTokenIds,
  };
}

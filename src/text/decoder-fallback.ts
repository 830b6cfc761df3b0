import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";

/** The library's decoder, for the kinds that `planDecoding` has no plan for. Throws for one that it does not know either. */
export function decodeByLibrary(config: unknown): (tokens: string[]) => string {
  const model = { type: "WordPiece", vocab: { "[UNK]": 0 }, unk_token: "[UNK]" };
  const empty = { model, decoder: config, added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null };
  const { decoder } = new LibraryTokenizer(empty, {});
  return (tokens) => decoder?.decode(tokens) ?? tokens.join(" ");
}

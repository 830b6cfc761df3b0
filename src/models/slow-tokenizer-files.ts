import { join } from "node:path";
import { readModelText } from "./model-file.ts";
import { type JsonObject, parseModelJson } from "./model-json.ts";

/** What a model without tokenizer.json has instead. */
export interface SlowTokenizerFiles {
  readonly vocabulary: JsonObject | null;
  /** Text of merges.txt. */
  readonly merges: string | null;
  /** Text of vocab.txt, a token a line. */
  readonly vocabularyText: string | null;
  readonly addedTokens: JsonObject | null;
  /** Names of files that only SentencePiece or tiktoken can read. */
  readonly unreadable: readonly string[];
}

const MAX_BYTES = 256 * 2 ** 20;
const UNREADABLE = /\.(model|tiktoken|spm|bpe)$|^tekken\.json$/;

/** Reads the older files, `names` being what the model directory has. Throws `StartupError`. */
export async function readSlowTokenizer(directory: string, names: ReadonlySet<string>): Promise<SlowTokenizerFiles> {
  const text = async (name: string) => (names.has(name) ? readModelText(join(directory, name), MAX_BYTES) : null);
  const json = async (name: string) => {
    const read = await text(name);
    return read === null ? null : parseModelJson(read, join(directory, name));
  };
  return {
    vocabulary: await json("vocab.json"),
    merges: await text("merges.txt"),
    vocabularyText: await text("vocab.txt"),
    addedTokens: await json("added_tokens.json"),
    unreadable: [...names].filter((name) => UNREADABLE.test(name)).sort(),
  };
}

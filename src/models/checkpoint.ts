import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { StartupError } from "../errors.ts";
import { type NamedTemplate, readChatTemplates } from "./chat-template-files.ts";
import { fileError, readModelText } from "./model-file.ts";
import { type JsonObject, parseModelJson } from "./model-json.ts";
import type { TensorInfo } from "./safetensors.ts";
import { readSlowTokenizer, type SlowTokenizerFiles } from "./slow-tokenizer-files.ts";
import { readWeights } from "./weight-files.ts";

/** What a model directory holds, all of it checked; the tensors' bytes stay on disk. */
export interface Checkpoint {
  readonly directory: string;
  readonly config: JsonObject;
  readonly generationConfig: JsonObject | null;
  /** Null: there is no such file. */
  readonly tokenizerJson: JsonObject | null;
  /** What is there in its place; null where it is there. */
  readonly slowTokenizer: SlowTokenizerFiles | null;
  readonly tokenizerConfig: JsonObject | null;
  /** Of files of their own; older models have them in `tokenizerConfig.chat_template` only. */
  readonly chatTemplates: readonly NamedTemplate[];
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

const MIB = 2 ** 20;
const MAX_SMALL_FILE = 16 * MIB;
const MAX_TOKENIZER = 512 * MIB;

/** Opens a model directory as Hugging Face and mlx-lm lay it out. Throws `StartupError` naming the file that is wrong. */
export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  const names = await listDirectory(directory);
  if (!names.has("config.json")) {
    throw new StartupError(`${directory} is not a model directory: it has no config.json`);
  }
  const config = await readJson(join(directory, "config.json"), MAX_SMALL_FILE);
  const optional = async (name: string, most: number) => (names.has(name) ? readJson(join(directory, name), most) : null);
  return {
    directory,
    config,
    generationConfig: await optional("generation_config.json", MAX_SMALL_FILE),
    tensors: await readWeights(directory, names),
    tokenizerJson: await optional("tokenizer.json", MAX_TOKENIZER),
    tokenizerConfig: await optional("tokenizer_config.json", MAX_SMALL_FILE),
    slowTokenizer: names.has("tokenizer.json") ? null : await readSlowTokenizer(directory, names),
    chatTemplates: await readChatTemplates(directory, names),
  };
}

async function listDirectory(directory: string): Promise<Set<string>> {
  try {
    if (!(await stat(directory)).isDirectory()) {
      throw new StartupError(`${directory} is a file; a model is a directory with config.json and safetensors files`);
    }
    return new Set(await readdir(directory));
  } catch (error) {
    throw fileError(error, `the model directory ${directory}`);
  }
}

async function readJson(path: string, most: number): Promise<JsonObject> {
  return parseModelJson(await readModelText(path, most), path);
}

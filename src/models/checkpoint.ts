import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { StartupError } from "../errors.ts";
import { fileError, readModelText } from "./model-file.ts";
import { isObject, type JsonObject, parseModelJson } from "./model-json.ts";
import type { TensorInfo } from "./safetensors.ts";
import { readWeights } from "./weight-files.ts";

/** What a model directory holds, all of it checked; the tensors' bytes stay on disk. */
export interface Checkpoint {
  readonly directory: string;
  readonly config: JsonObject;
  readonly generationConfig: JsonObject | null;
  /** Null: there is no such file, and text cannot be made into tokens. */
  readonly tokenizerJson: JsonObject | null;
  readonly tokenizerConfig: JsonObject | null;
  /** Of a file of its own; older models have it in `tokenizerConfig.chat_template` only. */
  readonly chatTemplate: string | null;
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
    chatTemplate: await readChatTemplate(directory, names),
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

async function readChatTemplate(directory: string, names: ReadonlySet<string>): Promise<string | null> {
  if (names.has("chat_template.jinja")) return readModelText(join(directory, "chat_template.jinja"), MAX_SMALL_FILE);
  if (!names.has("chat_template.json")) return null;
  const path = join(directory, "chat_template.json");
  const { chat_template: template } = await readJson(path, MAX_SMALL_FILE);
  if (typeof template === "string") return template;
  const named: unknown = Array.isArray(template) ? template.find((entry) => isObject(entry) && entry.name === "default") : null;
  if (isObject(named) && typeof named.template === "string") return named.template;
  throw new StartupError(`${path} has no chat_template that is a string`);
}

/** What sentence-transformers' files say of the way from hidden states to a text's vector. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { poolings } from "../config.ts";
import { StartupError } from "../errors.ts";
import { ConfigReader } from "./model-config.ts";
import { readModelText } from "./model-file.ts";
import { isObject, parseModelJson } from "./model-json.ts";
import { readSafetensorsHeader, type TensorInfo } from "./safetensors.ts";
import { describeValue, quote } from "./wording.ts";

export type Pooling = (typeof poolings)[number];

/** A linear layer after the pooling. */
export interface DenseModule {
  inDim: number;
  outDim: number;
  bias: boolean;
  activation: "none" | "tanh";
  /** Of its own safetensors file: `linear.weight` and `linear.bias`. */
  tensors: ReadonlyMap<string, TensorInfo>;
}

export interface EmbeddingModules {
  /** Several are put one after the other. */
  poolings: readonly Pooling[];
  dense: readonly DenseModule[];
  normalize: boolean;
  /** Tokens of a text; null: as many as the model takes. */
  maxTokens: number | null;
  /** Texts are brought to lower case before the tokenizer sees them. */
  lowercase: boolean;
}

const MAX_BYTES = 2 ** 20;
/** Names of old files, and of new ones. */
const POOLING_FIELDS: readonly [field: string, mode: string, pooling: Pooling][] = [
  ["pooling_mode_cls_token", "cls", "cls"],
  ["pooling_mode_max_tokens", "max", "max"],
  ["pooling_mode_mean_tokens", "mean", "mean"],
  ["pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", "mean-sqrt-length"],
  ["pooling_mode_weightedmean_tokens", "weightedmean", "weighted-mean"],
  ["pooling_mode_lasttoken", "lasttoken", "last"],
];
const ACTIVATIONS: Readonly<Record<string, DenseModule["activation"]>> = {
  "torch.nn.modules.linear.Identity": "none",
  "torch.nn.modules.activation.Tanh": "tanh",
};

/** Null: the directory has no modules.json, which says nothing about embeddings. Throws `StartupError` for what is not supported. */
export async function readEmbeddingModules(directory: string): Promise<EmbeddingModules | null> {
  const path = join(directory, "modules.json");
  if (!existsSync(path)) return null;
  // The file is a list, the reader wants an object.
  const { modules } = parseModelJson(`{"modules":${await readModelText(path, MAX_BYTES)}}`, path);
  if (!Array.isArray(modules)) throw new StartupError(`${path} is not a list of modules`);
  let poolings: readonly Pooling[] = ["mean"];
  const dense: DenseModule[] = [];
  let normalize = false;
  for (const module of modules as unknown[]) {
    const { kind, directory: at } = readModule(module, directory, path);
    if (kind === "Pooling") poolings = await readPoolings(join(at, "config.json"));
    else if (kind === "Dense") dense.push(await readDense(at));
    else if (kind === "Normalize") normalize = true;
    else if (kind !== "Transformer") throw new StartupError(`${path}: modules of the kind ${quote(kind)} are not supported`);
  }
  return { poolings, dense, normalize, ...(await readTextLimits(directory)) };
}

function readModule(module: unknown, directory: string, path: string): { kind: string; directory: string } {
  const type = isObject(module) ? module.type : undefined;
  const place = isObject(module) ? (module.path ?? "") : undefined;
  if (typeof type !== "string" || typeof place !== "string") throw new StartupError(`${path} has a module without type and path`);
  if (!/^[\w-]*$/.test(place)) throw new StartupError(`${path}: ${quote(place)} is not a directory of the model`);
  return { kind: type.split(".").at(-1) ?? "", directory: join(directory, place) };
}

async function readPoolings(path: string): Promise<Pooling[]> {
  const json = parseModelJson(await readModelText(path, MAX_BYTES), path);
  const config = new ConfigReader(json, path);
  const modes = config.has("pooling_mode") ? config.strings("pooling_mode") : [];
  const isSet = ([field, mode]: (typeof POOLING_FIELDS)[number]) =>
    modes.length > 0 ? modes.includes(mode) : config.boolean(field, { default: false });
  const unknown = modes.find((mode) => !POOLING_FIELDS.some(([, known]) => known === mode));
  if (unknown !== undefined) throw new StartupError(`${path}: pooling_mode ${quote(unknown)} is not supported`);
  const poolings = POOLING_FIELDS.filter(isSet).map(([, , pooling]) => pooling);
  if (poolings.length === 0) throw new StartupError(`${path} has no pooling mode that is set`);
  return poolings;
}

async function readDense(directory: string): Promise<DenseModule> {
  const path = join(directory, "config.json");
  const config = new ConfigReader(parseModelJson(await readModelText(path, MAX_BYTES), path), path);
  const activation = config.string("activation_function", { default: "torch.nn.modules.activation.Tanh" });
  const known = ACTIVATIONS[activation];
  if (!known) throw new StartupError(`${path}: activation_function ${describeValue(activation)} is not supported`);
  const weights = join(directory, "model.safetensors");
  return {
    inDim: config.int("in_features", { min: 1, max: 2 ** 20 }),
    outDim: config.int("out_features", { min: 1, max: 2 ** 20 }),
    bias: config.boolean("bias", { default: true }),
    activation: known,
    tensors: (await readSafetensorsHeader(weights)).tensors,
  };
}

async function readTextLimits(directory: string): Promise<Pick<EmbeddingModules, "maxTokens" | "lowercase">> {
  const path = join(directory, "sentence_bert_config.json");
  if (!existsSync(path)) return { maxTokens: null, lowercase: false };
  const config = new ConfigReader(parseModelJson(await readModelText(path, MAX_BYTES), path), path);
  return {
    maxTokens: config.int("max_seq_length", { min: 1, default: null }),
    lowercase: config.boolean("do_lower_case", { default: false }),
  };
}

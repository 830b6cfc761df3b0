/** Embeddings of a language model, beside what it generates: where its files or an option say how texts are pooled. */
import { StartupError } from "../errors.ts";
import type { Checkpoint } from "../models/checkpoint.ts";
import { type EmbeddingModules, type Pooling, readEmbeddingModules } from "../models/embedding-modules.ts";
import type { LoadedModel } from "../models/load.ts";
import { loadDense } from "../models/load-encoder.ts";
import { ConfigReader } from "../models/model-config.ts";
import { createCausalEncoder, fitsCaches } from "./causal-text-encoder.ts";
import { Embedder, type EmbedderOptions } from "./embedder.ts";
import type { EmbeddingInfo } from "./request.ts";

export interface LanguageEmbedderOptions extends Pick<EmbedderOptions, "maxQueue" | "onFailure"> {
  /** Instead of what the files say; null: nothing. */
  pooling: Pooling | null;
  /** Of the whole server. */
  kvBytes: number;
  maxTokensPerStep: number;
}

export interface LanguageEmbedder {
  readonly embedder: Embedder;
  readonly info: EmbeddingInfo;
  /** What is left of the cache memory for generation. */
  readonly kvBytes: number;
  free(): void;
}

/** Of the memory for caches. */
const SHARE = 0.2;
/** Chunks that one pass is made of: long enough to share weights, short enough that requests take turns. */
const STEPS_PER_PASS = 4;

/** What the files and the option say together; null: nothing about embeddings. Throws `StartupError`. */
export async function findModules(directory: string, pooling: Pooling | null): Promise<EmbeddingModules | null> {
  const found = await readEmbeddingModules(directory);
  if (pooling === null) return found;
  return { dense: [], normalize: true, maxTokens: null, lowercase: false, ...found, poolings: [pooling] };
}

/** Null: the model makes no embeddings. Throws `StartupError` for modules that are not supported. */
export async function openLanguageEmbedder(
  loaded: LoadedModel,
  { directory, config }: Pick<Checkpoint, "directory" | "config">,
  { pooling, kvBytes, maxTokensPerStep, maxQueue, onFailure }: LanguageEmbedderOptions,
): Promise<LanguageEmbedder | null> {
  const modules = await findModules(directory, pooling);
  if (!modules) return null;
  if (!loaded.model.hidden) throw new StartupError(`${loaded.architecture} models make no embeddings here`);
  const kvBudgetBytes = Math.floor(kvBytes * SHARE);
  const maxTokens = longestFit(
    loaded,
    Math.min(loaded.model.contextLength, modules.maxTokens ?? Number.POSITIVE_INFINITY),
    kvBudgetBytes,
  );
  if (maxTokens === 0) throw new StartupError("the memory does not suffice for the caches of embeddings: raise --memory-limit");
  const dense = await loadDense(modules.dense, directory);
  const options = { modules, dense: dense.layers, maxTokensPerStep, kvBudgetBytes, contextLength: maxTokens };
  const embedder = new Embedder(createCausalEncoder(loaded, options), {
    maxTokensPerPass: STEPS_PER_PASS * maxTokensPerStep,
    maxQueue,
    onFailure,
    maxPasses: 1,
  });
  const dimensions =
    dense.layers.at(-1)?.outDim ?? readHiddenSize(new ConfigReader(config, "config.json")) * modules.poolings.length;
  return { embedder, info: { dimensions, maxTokens }, kvBytes: kvBytes - kvBudgetBytes, free: dense.free };
}

/** Tokens of the longest text whose caches fit, in steps of 64. */
function longestFit(loaded: LoadedModel, wanted: number, kvBudgetBytes: number): number {
  if (fitsCaches(loaded, wanted, kvBudgetBytes)) return wanted;
  let [least, most] = [0, Math.ceil(wanted / 64)];
  while (least + 1 < most) {
    const middle = Math.floor((least + most) / 2);
    if (fitsCaches(loaded, middle * 64, kvBudgetBytes)) least = middle;
    else most = middle;
  }
  return least * 64;
}

function readHiddenSize(config: ConfigReader): number {
  return (config.has("hidden_size") ? config : (config.optionalChild("text_config") ?? config)).int("hidden_size", { min: 1 });
}

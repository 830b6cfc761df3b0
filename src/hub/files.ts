/** Which files of a repository a model needs. */
import { StartupError } from "../errors.ts";

export const indexName = "model.safetensors.index.json";

const smallNames = new Set([
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
  "preprocessor_config.json",
  "processor_config.json",
  "modules.json",
  "sentence_bert_config.json",
  "config_sentence_transformers.json",
  "adapter_config.json",
  indexName,
]);
/** Modules of an embedding model: `1_Pooling/config.json`, `2_Dense/model.safetensors`. */
const modulePattern = /^\d+_\w+\/(config\.json|model\.safetensors)$/;
const templatePattern = /^additional_chat_templates\/[\w.-]+\.jinja$/;
/** What older models have in place of tokenizer.json. */
const slowTokenizerNames = new Set(["vocab.json", "merges.txt", "vocab.txt"]);
const adapterPattern = /^adapters?(_model)?\.safetensors$/;
/** The names that the loader knows, by preference. */
const weightPatterns = [/^model[\w.-]*\.safetensors$/, /^weights?[\w.-]*\.safetensors$/];
const plainPattern = /^[\w-][\w.-]*\.safetensors$/;

/** Everything but the weights. */
export function chooseSmallFiles(names: readonly string[]): string[] {
  const patterns = [modulePattern, templatePattern, adapterPattern];
  const isSlow = !names.includes("tokenizer.json");
  return names.filter(
    (name) => smallNames.has(name) || (isSlow && slowTokenizerNames.has(name)) || patterns.some((pattern) => pattern.test(name)),
  );
}

/**
 * The files that hold the weights, as the loader sees it: those that the index names, else `model.safetensors`, else what
 * is named like a part of a model. `index`: its text, null when there is none. A name that is not in `names` is missing.
 */
export function chooseWeights(names: readonly string[], index: string | null): string[] {
  const loose =
    weightPatterns.map((pattern) => names.filter((name) => pattern.test(name))).find((found) => found.length > 0) ?? [];
  const indexed = index === null ? [] : parseIndex(index);
  // Converters leave the index of what they converted: when nothing of it is there, it says nothing about the rest.
  if (indexed.some((name) => names.includes(name)) || loose.length === 0) return indexed;
  return loose.includes("model.safetensors") ? ["model.safetensors"] : addMissingParts(loose);
}

/** `model-00001-of-00003.safetensors` tells that there are two more. */
function addMissingParts(files: readonly string[]): string[] {
  const all = new Set(files);
  for (const file of files) {
    const [, stem, digits, total] = /^(.*-)(\d{5})-of-(\d{5})\.safetensors$/.exec(file) ?? [];
    if (stem === undefined || digits === undefined) continue;
    for (let part = 1; part <= Number(total); part++) all.add(`${stem}${String(part).padStart(5, "0")}-of-${total}.safetensors`);
  }
  return [...all];
}

/** Shard names of a safetensors index. Throws `StartupError` when it is none, or names something outside of its directory. */
export function parseIndex(text: string): string[] {
  let map: unknown;
  try {
    map = (JSON.parse(text) as { weight_map?: unknown } | null)?.weight_map;
  } catch {
    map = null;
  }
  const shards = typeof map === "object" && map !== null ? [...new Set<unknown>(Object.values(map))] : [];
  const named = shards.filter((name) => typeof name === "string").filter((name) => plainPattern.test(name));
  if (named.length === 0 || named.length !== shards.length)
    throw new StartupError(`${indexName} is not a valid safetensors index.`);
  return named.sort();
}

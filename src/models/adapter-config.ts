/** adapter_config.json as mlx-lm and PEFT write it. */
import { StartupError } from "../errors.ts";
import { ConfigReader, type JsonObject } from "./model-config.ts";
import { quote } from "./wording.ts";

/** What the config says of the tensors; both kinds come down to y + scale (x a) b. */
export interface AdapterConfig {
  weightsFile: string;
  /** Rank and scale of a module's update. */
  sizeOf(module: string): { rank: number; scale: number };
  /** The file holds a as [rank, in] and b as [out, rank]. */
  transposed: boolean;
  /** Module and matrix that a tensor's name stands for; null: it is no LoRA tensor. */
  parseName(name: string): { module: string; matrix: "a" | "b" } | null;
  /** The modules that it was made for; null: whatever the file has. */
  targets: readonly string[] | null;
  isTarget(module: string, target: string): boolean;
  /** At most so many layers have updates; null: any number. */
  layers: number | null;
}

const MAX_RANK = 2 ** 16;

/** Throws `StartupError` for what is not plain LoRA. */
export function readAdapterConfig(json: JsonObject, where: string): AdapterConfig {
  const config = new ConfigReader(json, where);
  if (config.has("peft_type")) return readPeft(config, Array.isArray(json.target_modules));
  if (config.has("lora_parameters") || config.has("fine_tune_type")) return readMlx(config);
  throw new StartupError(`${where} is neither mlx-lm's (with lora_parameters) nor PEFT's (with peft_type)`);
}

function readMlx(config: ConfigReader): AdapterConfig {
  const kind = config.string("fine_tune_type", { default: "lora" });
  if (kind !== "lora") throw new StartupError(`${config.where}: fine_tune_type is ${quote(kind)}, but only "lora" is supported`);
  const parameters = config.child("lora_parameters");
  const layers = config.int("num_layers", { min: -1, default: -1 });
  const size = { rank: parameters.int("rank", { min: 1, max: MAX_RANK }), scale: parameters.number("scale") };
  return {
    weightsFile: "adapters.safetensors",
    sizeOf: () => size,
    transposed: false,
    parseName: (name) => split(/^(.+)\.lora_([ab])$/.exec(name)),
    targets: parameters.strings("keys", { default: null }),
    isTarget: (module, target) => module === target || module.replace(/^.*\.layers\.\d+\./, "") === target,
    layers: layers > 0 ? layers : null,
  };
}

/** `listed`: target_modules is a list of names; otherwise it is a pattern that PEFT alone understands. */
function readPeft(config: ConfigReader, listed: boolean): AdapterConfig {
  const kind = config.string("peft_type");
  if (kind !== "LORA") throw new StartupError(`${config.where}: peft_type is ${quote(kind)}, but only "LORA" is supported`);
  refuseExtensions(config);
  const usual = { rank: config.int("r", { min: 1, max: MAX_RANK }), alpha: config.number("lora_alpha") };
  const rankOf = readPattern(config, "rank_pattern", (c, name) => c.int(name, { min: 1, max: MAX_RANK }));
  const alphaOf = readPattern(config, "alpha_pattern", (c, name) => c.number(name));
  const byRoot = config.boolean("use_rslora", { default: false });
  return {
    weightsFile: "adapter_model.safetensors",
    sizeOf: (module) => {
      const rank = rankOf(module) ?? usual.rank;
      return { rank, scale: (alphaOf(module) ?? usual.alpha) / (byRoot ? Math.sqrt(rank) : rank) };
    },
    transposed: true,
    parseName: (name) => split(/^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name)),
    targets: listed ? config.strings("target_modules") : null,
    isTarget: (module, target) => module === target || module.endsWith(`.${target}`),
    layers: null,
  };
}

/** Throws `StartupError` for what changes the result in other ways than by low-rank updates of the model as it is. */
function refuseExtensions(config: ConfigReader): void {
  const refuse = (field: string) => {
    throw new StartupError(`${config.where}: ${field} is not supported`);
  };
  for (const option of ["use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"]) {
    if (config.boolean(option, { default: false })) refuse(option);
  }
  for (const option of ["modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication"]) {
    // Empty ones are written as well.
    if (config.has(option) && !config.isEmpty(option)) refuse(option);
  }
  const bias = config.string("bias", { default: "none" });
  if (bias !== "none") refuse(`bias ${quote(bias)}`);
  // These train against weights that were changed first.
  const start = config.text("init_lora_weights");
  if (/^(pissa|olora|corda|loftq)/i.test(start)) refuse(`init_lora_weights ${quote(start)}`);
}

/** A field that has other numbers for some modules, known by the ends of their names; the first that fits counts, as in PEFT. */
function readPattern<T extends number>(
  config: ConfigReader,
  field: string,
  read: (c: ConfigReader, name: string) => T,
): (module: string) => T | null {
  const c = config.optionalChild(field);
  const entries = (c?.names() ?? []).map((pattern) => {
    // PEFT takes regular expressions; names alone say what is meant without running somebody else's pattern.
    const [, start, name] = /^(\^?)((?:[\w-]|\\?\.)+)$/.exec(pattern) ?? [];
    if (name === undefined) throw new StartupError(`${c!.where}: the pattern ${quote(pattern)} is not supported, only names`);
    return { module: name.replaceAll("\\", ""), whole: start !== "", value: read(c!, pattern) };
  });
  return (module) =>
    entries.find((entry) => module === entry.module || (!entry.whole && module.endsWith(`.${entry.module}`)))?.value ?? null;
}

function split(match: RegExpExecArray | null): { module: string; matrix: "a" | "b" } | null {
  if (!match) return null;
  return { module: match[1]!, matrix: match[2]!.toLowerCase() === "a" ? "a" : "b" };
}

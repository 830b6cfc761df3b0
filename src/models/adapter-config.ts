/** adapter_config.json as mlx-lm and PEFT write it. */
import { StartupError } from "../errors.ts";
import { ConfigReader, type JsonObject } from "./model-config.ts";
import { quote } from "./wording.ts";

/** What the config says of the tensors; both kinds come down to y + scale (x a) b. */
export interface AdapterConfig {
  weightsFile: string;
  rank: number;
  scale: number;
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
  return {
    weightsFile: "adapters.safetensors",
    rank: parameters.int("rank", { min: 1, max: MAX_RANK }),
    scale: parameters.number("scale"),
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
  for (const option of ["use_dora", "fan_in_fan_out", "lora_bias"]) {
    if (config.boolean(option, { default: false })) throw new StartupError(`${config.where}: ${option} is not supported`);
  }
  for (const option of ["rank_pattern", "alpha_pattern"]) {
    if (config.optionalChild(option)?.names().length) throw new StartupError(`${config.where}: ${option} is not supported`);
  }
  const rank = config.int("r", { min: 1, max: MAX_RANK });
  const alpha = config.number("lora_alpha");
  return {
    weightsFile: "adapter_model.safetensors",
    rank,
    scale: alpha / (config.boolean("use_rslora", { default: false }) ? Math.sqrt(rank) : rank),
    transposed: true,
    parseName: (name) => split(/^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name)),
    targets: listed ? config.strings("target_modules") : null,
    isTarget: (module, target) => module === target || module.endsWith(`.${target}`),
    layers: null,
  };
}

function split(match: RegExpExecArray | null): { module: string; matrix: "a" | "b" } | null {
  if (!match) return null;
  return { module: match[1]!, matrix: match[2]!.toLowerCase() === "a" ? "a" : "b" };
}

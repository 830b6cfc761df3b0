/** Reads a LoRA adapter's directory. The tensors' bytes stay on disk. */
import { join } from "node:path";
import { StartupError } from "../errors.ts";
import { type AdapterConfig, readAdapterConfig } from "./adapter-config.ts";
import { readModelText } from "./model-file.ts";
import { parseModelJson } from "./model-json.ts";
import { readSafetensorsHeader, shapeText, type TensorInfo } from "./safetensors.ts";
import { listSome, quote } from "./wording.ts";

export interface AdapterSource {
  /** What requests call it. */
  name: string;
  /** A directory of mlx-lm's or PEFT's. */
  path: string;
}

/** One of the two matrices of a module's update. */
export interface AdapterTensor {
  name: string;
  info: TensorInfo;
}

/** y + scale (x a) b, of one module. */
export interface LowRankUpdate {
  /** [in, rank], stored the other way round when `transposed`. */
  a: AdapterTensor;
  /** [rank, out], likewise. */
  b: AdapterTensor;
  inDim: number;
  outDim: number;
  rank: number;
  scale: number;
  transposed: boolean;
}

export interface Adapter {
  /** File of the tensors. */
  path: string;
  /** By the module's name in the model's checkpoint. */
  updates: ReadonlyMap<string, LowRankUpdate>;
}

const MAX_CONFIG_BYTES = 2 ** 24;
const NAME = /^[\w.-]{1,100}$/;
const FLOATS: readonly string[] = ["F32", "F16", "BF16"];

/** Throws `StartupError` unless the names can be told from each other and from those of the model, `taken`. */
export function checkAdapterNames(names: readonly string[], taken: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    const said = `the adapter name ${quote(name)}`;
    if (!NAME.test(name)) throw new StartupError(`${said} must be 1 to 100 letters, digits, ".", "_" or "-"`);
    if (taken.includes(name)) throw new StartupError(`${said} is one of the model's own names`);
    if (seen.has(name)) throw new StartupError(`${said} is given twice`);
    seen.add(name);
  }
}

/** Throws `StartupError` naming the file, and the tensors where it is about them. */
export async function readAdapter(directory: string): Promise<Adapter> {
  const configPath = join(directory, "adapter_config.json");
  const config = readAdapterConfig(parseModelJson(await readModelText(configPath, MAX_CONFIG_BYTES), configPath), configPath);
  const path = join(directory, config.weightsFile);
  const { tensors } = await readSafetensorsHeader(path);
  const updates = pairTensors(tensors, config, path);
  checkTargets([...updates.keys()], config, path, configPath);
  return { path, updates };
}

function pairTensors(
  tensors: ReadonlyMap<string, TensorInfo>,
  config: AdapterConfig,
  path: string,
): ReadonlyMap<string, LowRankUpdate> {
  const found = new Map<string, { a?: AdapterTensor; b?: AdapterTensor }>();
  const strange: string[] = [];
  for (const [name, info] of tensors) {
    if (name.includes(".lora_embedding_")) {
      throw new StartupError(`${path}: ${quote(name)} is an update of an embedding: only linear layers can have one`);
    }
    const parsed = config.parseName(name);
    if (!parsed) strange.push(quote(name));
    else found.set(parsed.module, { ...found.get(parsed.module), [parsed.matrix]: { name, info } });
  }
  if (strange.length > 0) throw new StartupError(`${path} has tensors that are not part of a LoRA adapter: ${listSome(strange)}`);
  if (found.size === 0) throw new StartupError(`${path} holds no tensors`);
  const updates = new Map<string, LowRankUpdate>();
  for (const [module, { a, b }] of found) {
    if (!a || !b) throw new StartupError(`${path} has ${quote((a ?? b)!.name)} without its other half`);
    updates.set(module, joinPair(module, a, b, config, path));
  }
  return updates;
}

function joinPair(module: string, a: AdapterTensor, b: AdapterTensor, config: AdapterConfig, path: string): LowRankUpdate {
  const { transposed } = config;
  const { rank, scale } = config.sizeOf(module);
  const [inDim, outDim] = [a, b].map(({ name, info: { dtype, shape } }, i) => {
    // The rank is last in a and first in b, unless they are stored the other way round.
    const rankAxis = (i === 0) === transposed ? 0 : 1;
    if (shape.length !== 2 || shape[rankAxis] !== rank || shape[1 - rankAxis] === 0) {
      const dim = i === 0 ? "in" : "out";
      const wanted = rankAxis === 0 ? `[${rank}, ${dim}]` : `[${dim}, ${rank}]`;
      throw new StartupError(`${path}: tensor ${quote(name)} is ${shapeText(shape)}, but of rank ${rank} it must be ${wanted}`);
    }
    if (!FLOATS.includes(dtype)) {
      throw new StartupError(`${path}: tensor ${quote(name)} is ${dtype}, but must be one of ${FLOATS.join(", ")}`);
    }
    return shape[1 - rankAxis]!;
  });
  return { a, b, inDim: inDim!, outDim: outDim!, rank, scale, transposed };
}

/** Config and file must speak of the same modules: one that only one of them knows would silently do nothing. */
function checkTargets(modules: readonly string[], config: AdapterConfig, path: string, configPath: string): void {
  const { targets, isTarget, layers } = config;
  const surplus = targets === null ? [] : modules.filter((module) => !targets.some((target) => isTarget(module, target)));
  if (surplus.length > 0) {
    throw new StartupError(`${path} has modules that ${configPath} does not name: ${listSome(surplus.map(quote))}`);
  }
  const unknown = (targets ?? []).filter((target) => !modules.some((module) => isTarget(module, target)));
  if (unknown.length > 0) {
    throw new StartupError(`${configPath} names modules of which ${path} has no tensors: ${listSome(unknown.map(quote))}`);
  }
  const used = new Set(modules.map((module) => /\.layers\.\d+\./.exec(module)?.[0]).filter((layer) => layer !== undefined));
  if (layers !== null && used.size > layers) {
    throw new StartupError(`${path} has updates of ${used.size} layers, but num_layers of ${configPath} is ${layers}`);
  }
}

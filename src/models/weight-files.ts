import { join } from "node:path";
import { StartupError } from "../errors.ts";
import { readModelText } from "./model-file.ts";
import { isObject, parseModelJson } from "./model-json.ts";
import { readSafetensorsHeader, type TensorInfo } from "./safetensors.ts";
import { countOf, describeValue, listSome, quote } from "./wording.ts";

const INDEX = "model.safetensors.index.json";
const MAX_INDEX_BYTES = 256 * 2 ** 20;
const PATTERNS = [/^model.*\.safetensors$/, /^weights?.*\.safetensors$/];
const PLAIN_NAME = /^[\p{L}\p{N}_ .,+=@()[\]-]+\.safetensors$/u;
const OTHER_WEIGHTS = /\.(bin|gguf|pt|pth|npz|h5|msgpack|onnx)$/i;

/** Tensor name to the file that an index says it is in. */
type WeightMap = ReadonlyMap<string, string>;

/** All tensors of a model directory, `names` being what lies in it. Throws `StartupError` naming the file or tensor that is wrong. */
export async function readWeights(directory: string, names: ReadonlySet<string>): Promise<ReadonlyMap<string, TensorInfo>> {
  const loose = looseFiles(names);
  const index = names.has(INDEX) ? await readIndex(join(directory, INDEX)) : null;
  const indexed = new Set(index?.values());
  const found = [...indexed].filter((name) => names.has(name));
  // Converters leave the index of the files they converted: when none of those is there it says nothing about the ones that are.
  if (index && (found.length > 0 || loose.length === 0)) {
    const missing = [...indexed].filter((name) => !names.has(name));
    if (missing.length > 0)
      throw new StartupError(`${directory} lacks ${countOf(missing.length, "weight file")}: ${listSome(missing)}`);
    const tensors = await readFiles(directory, found);
    checkIndex(index, tensors, directory);
    return tensors;
  }
  if (loose.length === 0) throw noWeights(directory, names);
  checkNumbering(loose, directory);
  return readFiles(directory, loose);
}

function looseFiles(names: ReadonlySet<string>): string[] {
  for (const pattern of PATTERNS) {
    const files = [...names].filter((name) => pattern.test(name)).sort();
    if (files.length > 0) return files;
  }
  return [];
}

async function readFiles(directory: string, files: readonly string[]): Promise<ReadonlyMap<string, TensorInfo>> {
  const tensors = new Map<string, TensorInfo>();
  for (const name of files) {
    const header = await readSafetensorsHeader(join(directory, name));
    for (const [tensor, info] of header.tensors) {
      const other = tensors.get(tensor);
      if (other) throw new StartupError(`tensor ${quote(tensor)} is in two files: ${other.path} and ${info.path}`);
      tensors.set(tensor, info);
    }
  }
  if (tensors.size === 0) throw new StartupError(`the safetensors files of ${directory} hold no tensors`);
  return tensors;
}

async function readIndex(path: string): Promise<WeightMap> {
  const { weight_map: map } = parseModelJson(await readModelText(path, MAX_INDEX_BYTES), path);
  if (!isObject(map)) throw new StartupError(`${path}: weight_map is ${describeValue(map)} but must be an object`);
  const files = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== "string" || !isPlainName(file)) {
      throw new StartupError(
        `${path}: tensor ${quote(tensor)} is in ${describeValue(file)}, which is not the name of a safetensors file in the same directory`,
      );
    }
    files.set(tensor, file);
  }
  if (files.size === 0) throw new StartupError(`${path}: weight_map names no tensors`);
  return files;
}

/** An index must not lead out of its directory. */
function isPlainName(name: string): boolean {
  return name.length <= 255 && PLAIN_NAME.test(name) && !name.includes("..");
}

function checkIndex(index: WeightMap, tensors: ReadonlyMap<string, TensorInfo>, directory: string): void {
  const absent: string[] = [];
  for (const [tensor, file] of index) {
    if (tensors.get(tensor)?.path !== join(directory, file)) absent.push(`${quote(tensor)} in ${file}`);
  }
  if (absent.length === 0) return;
  const path = join(directory, INDEX);
  throw new StartupError(`${path} names ${countOf(absent.length, "tensor")} that the files do not have: ${listSome(absent, 4)}`);
}

/** Without an index only the names tell that a part is missing: `model-00001-of-00003.safetensors`. */
function checkNumbering(files: readonly string[], directory: string): void {
  const present = new Set(files);
  for (const file of files) {
    const parts = /^(.*-)(\d{1,5})-of-(\d{1,5})\.safetensors$/.exec(file);
    if (!parts) continue;
    const [, stem = "", digits = "", total = ""] = parts;
    const missing: string[] = [];
    for (let part = 1; part <= Number(total); part++) {
      const name = `${stem}${String(part).padStart(digits.length, "0")}-of-${total}.safetensors`;
      if (!present.has(name)) missing.push(name);
    }
    if (missing.length > 0)
      throw new StartupError(`${directory} lacks ${countOf(missing.length, "weight file")}: ${listSome(missing)}`);
  }
}

function noWeights(directory: string, names: ReadonlySet<string>): StartupError {
  const others = [...names].filter((name) => OTHER_WEIGHTS.test(name)).sort();
  const unknown = [...names].filter((name) => name.endsWith(".safetensors")).sort();
  if (unknown.length > 0) {
    return new StartupError(`${directory} has no model*.safetensors or weights*.safetensors, only ${listSome(unknown)}`);
  }
  if (others.length > 0) {
    return new StartupError(`${directory} has its weights only as ${listSome(others, 3)}, but safetensors files are needed`);
  }
  return new StartupError(`${directory} has no weights: safetensors files are needed`);
}

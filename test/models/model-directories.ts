import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartupError } from "../../src/errors.ts";

export const repository = join(import.meta.dir, "../..");
export const fixtures = join(repository, "test/fixtures");

/** A directory under the system's own that `remove` takes away again. */
export function makeScratch(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "mlx-cb-models-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Length prefix and JSON; `length` may lie. */
export function headerBytes(json: string | Uint8Array, length?: number | bigint): Uint8Array<ArrayBuffer> {
  const body = typeof json === "string" ? new TextEncoder().encode(json) : json;
  const bytes = new Uint8Array(8 + body.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, BigInt(length ?? body.length)), true);
  bytes.set(body, 8);
  return bytes;
}

/** A header followed by `dataBytes` zeros that take no room on the disk. */
export function writeWeights(path: string, header: Uint8Array, dataBytes: number): void {
  writeFileSync(path, header);
  truncateSync(path, header.length + dataBytes);
}

/** Float32 tensors one after the other, as a writer lays them out. */
export function writeTensors(path: string, shapes: Readonly<Record<string, readonly number[]>>): void {
  let end = 0;
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const begin = end;
    end += 4 * shape.reduce((product, size) => product * size, 1);
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype: "F32", shape, data_offsets: [begin, end] })}`;
  });
  writeWeights(path, headerBytes(`{${entries.join(",")}}`), end);
}

export function writeJson(path: string, value: unknown): void {
  writeFileSync(path, JSON.stringify(value));
}

let models = 0;

/** A directory in `parent` with a config; `fill` writes the rest. */
export function makeModel(parent: string, fill: (path: (name: string) => string) => void): string {
  const directory = join(parent, `model-${models++}`);
  mkdirSync(directory);
  writeJson(join(directory, "config.json"), { model_type: "llama" });
  fill((name) => join(directory, name));
  return directory;
}

export const INDEX = "model.safetensors.index.json";

export function shard(part: number, of: number): string {
  return `model-0000${part}-of-0000${of}.safetensors`;
}

/** Two shards with the tensors a and b, and an index that `weightMap` may change. */
export function makeSharded(parent: string, weightMap: unknown = { a: shard(1, 2), b: shard(2, 2) }): string {
  return makeModel(parent, (path) => {
    writeTensors(path(shard(1, 2)), { a: [2] });
    writeTensors(path(shard(2, 2)), { b: [3, 1] });
    writeJson(path(INDEX), { metadata: {}, weight_map: weightMap });
  });
}

/** The message of the `StartupError` that `action` ends with; anything else is a failure. */
export async function startupMessage(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof StartupError) return error.message;
    throw error;
  }
  throw new Error("no error was thrown");
}

/** A sentence a user can be shown: one line, not endless. */
export function isOneSentence(message: string): boolean {
  return message.length > 10 && message.length < 2000 && !message.includes("\n");
}

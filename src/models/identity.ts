import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Checkpoint } from "./checkpoint.ts";

/**
 * What tells the numbers of one model from another's without reading its weights: its config, the layout of its tensors, and sizes
 * and times of the files. `more`: whatever else changes what is computed.
 */
export async function identifyModel(
  checkpoint: Checkpoint,
  adapters: readonly string[],
  more: readonly string[],
): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify([checkpoint.config, more]));
  const files = new Set<string>();
  for (const [name, { dtype, shape, offset, path }] of checkpoint.tensors) {
    files.add(path);
    hash.update(JSON.stringify([name, dtype, shape, offset, basename(path)]));
  }
  for (const directory of adapters) {
    for (const name of (await readdir(directory)).sort()) files.add(join(directory, name));
  }
  for (const path of files) {
    const { size, mtimeMs } = await stat(path);
    hash.update(JSON.stringify([basename(path), size, mtimeMs]));
  }
  return hash.digest("hex");
}

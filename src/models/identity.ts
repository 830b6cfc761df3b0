import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Checkpoint } from "./checkpoint.ts";
import { readExactly, withFile } from "./model-file.ts";

/** Bytes of a file that are looked at, in pieces all over it: copies and images of disks may have all the same times. */
const SAMPLED_BYTES = 2 ** 16;
const PIECE_BYTES = 128;

/**
 * What tells the numbers of one model from another's without reading its weights: its config, the layout of its tensors, and sizes,
 * times and samples of the files. `more`: whatever else changes what is computed.
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
    for (const entry of (await readdir(directory, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (!entry.isDirectory()) files.add(join(directory, entry.name));
    }
  }
  for (const path of files) {
    await withFile(path, async (file, size) => {
      hash.update(JSON.stringify([basename(path), size, (await file.stat()).mtimeMs]));
      const pieces = Math.min(SAMPLED_BYTES / PIECE_BYTES, Math.ceil(size / PIECE_BYTES));
      for (let piece = 0; piece < pieces; piece++) {
        const at = Math.floor((piece * size) / pieces);
        hash.update(await readExactly(file, path, at, Math.min(PIECE_BYTES, size - at)));
      }
    });
  }
  return hash.digest("hex");
}

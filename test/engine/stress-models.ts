/** The models under stress, and what traffic needs to know of them. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { rowBytes } from "../../src/kv/row-size.ts";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { loadModel } from "../../src/models/load.ts";
import { TINY_CHAT } from "./tiny-chat.ts";

export interface StressModel {
  directory: string;
  adapters: readonly { name: string; path: string }[];
  vocabSize: number;
  /** Whether each token chooses its experts. */
  routed: boolean;
  /** Tokens of the longest prompt. */
  longest: number;
  /** Of the smallest row that takes the longest request. */
  longestRowBytes: number;
}

/** Of an output. */
const MOST_TOKENS = 150;

export async function readStressModel(name: string, longest: number): Promise<StressModel> {
  openMlx(locateNativeLibrary(), true);
  const directory = name === "tiny-chat" ? TINY_CHAT : join(import.meta.dir, "../fixtures/parity", name);
  const loaded = await loadModel(await openCheckpoint(directory));
  const { vocabSize, caches } = loaded.model;
  const longestRowBytes = rowBytes(caches, loaded.dtype, 2 ** Math.ceil(Math.log2(longest + MOST_TOKENS + 1)));
  loaded.free();
  const folder = join(directory, "adapters");
  const adapters = existsSync(folder) ? [{ name: "own", path: folder }] : [];
  const routed = /"[a-z_]*experts(_per_tok)?": *\d/.test(readFileSync(join(directory, "config.json"), "utf8"));
  return { directory, adapters, vocabSize, routed, longestRowBytes, longest };
}

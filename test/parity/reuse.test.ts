import { beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { loadModel } from "../../src/models/load.ts";
import { runReused } from "./reuse.ts";

const CASES = join(import.meta.dir, "../fixtures/parity");
const names = readdirSync(CASES).filter((name) => existsSync(join(CASES, name, "case.json")));

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

test.each(names)("%s: a reused prefix gives the logits of a full prefill", async (name) => {
  const directory = join(CASES, name);
  const { sequences, tolerance } = await Bun.file(join(directory, "case.json")).json();
  const loaded = await loadModel(await openCheckpoint(directory));
  try {
    const texts = sequences.map(({ prompt, decode }: { prompt: number[]; decode: number[] }) => [...prompt, ...decode]);
    const { maxError, reused } = await runReused(loaded, texts);
    expect(maxError).toBeLessThanOrEqual(tolerance.max_abs_diff);
    expect(reused).toBeGreaterThan(64);
  } finally {
    loaded.free();
  }
});

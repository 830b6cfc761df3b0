/** Those who spoil the prefix cache while requests run. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Engine } from "../../src/engine/engine.ts";
import type { Prng } from "./prng.ts";

/** Forgets prefixes, harms files and removes them, until it is stopped. */
export function vandalise(random: Prng, engine: Engine, blocks: string | null, spreadMs: number): { stop(): Promise<void> } {
  let stopped = false;
  const run = async () => {
    while (!stopped) {
      const until = performance.now() + random.int(1, Math.max(2, spreadMs / 4));
      while (!stopped && performance.now() < until) await Bun.sleep(2);
      if (stopped) return;
      if (random.chance(0.3)) await engine.clearPrefixCache();
      if (blocks && random.chance(0.7)) harmFiles(random, blocks);
    }
  };
  const done = run();
  return {
    stop: async () => {
      stopped = true;
      await done;
    },
  };
}

function harmFiles(random: Prng, blocks: string): void {
  if (random.chance(0.05)) rmSync(blocks, { recursive: true, force: true });
  for (const file of listFiles(blocks)) {
    if (!random.chance(0.3)) continue;
    try {
      if (random.chance(0.5)) rmSync(file);
      else harmFile(random, file);
    } catch {
      // The store has removed it meanwhile.
    }
  }
}

function listFiles(blocks: string): string[] {
  try {
    return readdirSync(blocks).flatMap((folder) => readdirSync(join(blocks, folder)).map((name) => join(blocks, folder, name)));
  } catch {
    return [];
  }
}

function harmFile(random: Prng, file: string): void {
  const bytes = readFileSync(file);
  bytes[random.int(0, bytes.length - 1)]! ^= 1;
  writeFileSync(file, bytes.subarray(0, random.chance(0.5) ? bytes.length : random.int(0, bytes.length)));
}

/** Writes as a disk does that is slow, or that is full before long. */
export function writeBadly(random: Prng): (path: string, parts: readonly Uint8Array[]) => Promise<void> {
  const full = random.chance(0.5);
  let left = random.int(0, 30);
  return async (path, parts) => {
    if (full && left-- <= 0) throw new Error("ENOSPC: no space left on device");
    await Bun.sleep(random.int(0, 5));
    await Bun.write(path, new Blob(parts as Uint8Array<ArrayBuffer>[]));
  };
}

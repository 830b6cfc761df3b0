/** Downloads of one model from an imitated hub into an empty cache, for each test anew. */
import { afterEach, beforeEach, expect } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Patience } from "../../src/hub/client.ts";
import { silentProgress } from "../../src/hub/progress.ts";
import { resolveModel } from "../../src/hub/resolve.ts";
import { addModel, HubImitation, neededFiles } from "./imitation.ts";

export const patience: Patience = { retries: 3, pauseMs: 5, silenceMs: 400 };
export const shard = "model-00001-of-00002.safetensors";
export let hub: HubImitation;
export let cache: string;
export let root: string;

/** For each test of a file. */
export function freshHub(): void {
  beforeEach(async () => {
    hub = await new HubImitation().start();
    addModel(hub);
    cache = mkdtempSync(join(tmpdir(), "mlx-cb-hub-"));
    root = join(cache, "models--owner--name");
  });
  afterEach(() => {
    hub.stop();
    rmSync(cache, { recursive: true, force: true });
  });
}

export const resolve = (changes = {}, report = silentProgress) =>
  resolveModel("owner/name", hub.settings(cache, changes), report, patience);
export const failure = async (promise: Promise<unknown>) => {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ name: "StartupError" });
  return (error as Error).message;
};
export const readAll = (directory: string) => {
  for (const name of neededFiles) expect(Buffer.compare(readFileSync(join(directory, name)), hub.files.get(name)!)).toBe(0);
};
export const partials = () =>
  existsSync(join(root, "blobs")) ? readdirSync(join(root, "blobs")).filter((name) => name.endsWith(".incomplete")) : [];

import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Patience } from "../../src/hub/client.ts";
import { silentProgress } from "../../src/hub/progress.ts";
import { resolveModel } from "../../src/hub/resolve.ts";
import { partialPath } from "../../src/hub/transfer.ts";
import { addModel, HubImitation } from "./imitation.ts";

const patience: Patience = { retries: 2, pauseMs: 5, silenceMs: 1000 };
const shard = "model-00001-of-00002.safetensors";
let hub: HubImitation;
let cache: string;

beforeEach(async () => {
  hub = await new HubImitation().start();
  addModel(hub);
  cache = mkdtempSync(join(tmpdir(), "mlx-cb-full-"));
});
afterEach(() => {
  hub.stop();
  rmSync(cache, { recursive: true, force: true });
});

const resolve = (directory = cache) => resolveModel("owner/name", hub.settings(directory), silentProgress, patience);

test("a model that cannot fit is refused before its weights are fetched", async () => {
  hub.wrongSizes.set(shard, 10 ** 17);
  await expect(resolve()).rejects.toThrow(/^Not enough room in .*"owner\/name" needs 100000 TB more, .* are free/);
  expect(hub.fetched()).not.toContain(shard);
});

test("a disk that fills up on the way: one sentence, what came is kept, and the next start goes on from there", async () => {
  const disk = join(cache, "disk");
  mkdirSync(disk);
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", disk], { stderr: "ignore" }).success;
  const partial = partialPath(join(disk, "models--owner--name", "blobs", hub.oid(shard)));
  const filler = join(disk, "filler");
  try {
    if (mounted) {
      hub.fault = ({ path }) => {
        // Somebody else takes the room after it was found to be enough.
        if (path.endsWith(shard)) writeFileSync(filler, new Uint8Array(1_000_000));
        return false;
      };
    } else {
      // Without the right to mount: the kernel's own always full device takes the place of the file.
      mkdirSync(join(partial, ".."), { recursive: true });
      symlinkSync("/dev/full", partial);
    }
    const message = await resolve(disk).then(String, (error: Error) => error.message);
    expect(message).toStartWith(`The disk is full: nothing more can be written to ${disk};`);
    expect(message).toMatch(/\d+ [kM]B of "owner\/name" are still missing; make room/);
    expect(existsSync(partial)).toBe(true);

    const kept = mounted ? statSync(partial).size : 0;
    if (mounted) expect(kept).toBeGreaterThan(0);
    hub.fault = () => false;
    unlinkSync(mounted ? filler : partial);
    hub.seen.length = 0;
    const directory = await resolve(disk);
    expect(Buffer.compare(readFileSync(join(directory, shard)), hub.files.get(shard)!)).toBe(0);
    expect(hub.seen.find(({ path, storage }) => storage && path.endsWith(shard))!.range).toBe(kept > 0 ? `bytes=${kept}-` : null);
  } finally {
    if (mounted) Bun.spawnSync(["umount", "-l", disk]);
  }
});

test("a cache that may not be written to", async () => {
  // A file where a directory belongs stops root as well.
  writeFileSync(join(cache, "occupied"), "");
  const message = await resolve(join(cache, "occupied", "hub")).then(String, (error: Error) => error.message);
  expect(message).toMatch(/^Downloading "owner\/name" into .* failed: ENOTDIR/);
});

import { afterAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { identifyModel } from "../../src/models/identity.ts";

const tinyChat = join(import.meta.dir, "../../src/assets/tiny-chat");
const scratch = mkdtempSync(join(tmpdir(), "mlx-cb-identity-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let copies = 0;
/** A copy whose files have the times of the original's, as images and archives make it. */
function copy(change: (path: (name: string) => string) => void = () => {}): string {
  const directory = join(scratch, `model-${copies++}`);
  cpSync(tinyChat, directory, { recursive: true });
  const path = (name: string) => join(directory, name);
  change(path);
  for (const name of ["config.json", "model.safetensors"]) {
    const { atime, mtime } = statSync(join(tinyChat, name));
    utimesSync(path(name), atime, mtime);
  }
  return directory;
}

const identify = async (directory: string, adapters: readonly string[] = [], more: readonly string[] = []) =>
  identifyModel(await openCheckpoint(directory), adapters, more);

/** Inverts the bits of a stretch of a file. */
function spoil(path: string, from: number, length: number): void {
  const bytes = readFileSync(path);
  for (let at = from; at < from + length; at++) bytes[at] = ~bytes[at]!;
  writeFileSync(path, bytes);
}

test("a model is the same where its files are, and another where anything of them differs", async () => {
  const same = await identify(copy());
  expect(await identify(copy())).toBe(same);
  const { size } = statSync(join(tinyChat, "model.safetensors"));
  const others = [
    // Only times and weights tell these from the first: those of one matrix, anywhere.
    copy((path) => spoil(path("model.safetensors"), Math.floor(size * 0.3), 32_768)),
    copy((path) => spoil(path("model.safetensors"), size - 32_768, 32_768)),
    copy((path) =>
      writeFileSync(
        path("config.json"),
        readFileSync(path("config.json"), "utf8").replace(/"rope_theta": \d/, '"rope_theta": 7'),
      ),
    ),
  ];
  const touched = copy();
  utimesSync(join(touched, "model.safetensors"), 1, 1);
  const found = await Promise.all([...others, touched].map((directory) => identify(directory)));
  found.push(await identify(copy(), [], ["gpu"]));
  expect(new Set([same, ...found]).size).toBe(found.length + 1);
});

test("adapters are part of it, whatever else lies beside them", async () => {
  const adapter = join(scratch, "adapter");
  mkdirSync(join(adapter, "checkpoints"), { recursive: true });
  writeFileSync(join(adapter, "adapters.safetensors"), new Uint8Array(100_000));
  utimesSync(join(adapter, "adapters.safetensors"), 5, 5);
  const directory = copy();
  const plain = await identify(directory);
  const adapted = await identify(directory, [adapter]);
  spoil(join(adapter, "adapters.safetensors"), 40_000, 2000);
  utimesSync(join(adapter, "adapters.safetensors"), 5, 5);
  expect(new Set([plain, adapted, await identify(directory, [adapter])]).size).toBe(3);
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, relative } from "node:path";
import { silentProgress } from "../../src/hub/progress.ts";
import { parseRepository } from "../../src/hub/repository.ts";
import { resolveModel } from "../../src/hub/resolve.ts";
import type { HubSettings } from "../../src/surroundings.ts";

let root: string;
let hub: HubSettings;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "mlx-cb-resolve-"));
  mkdirSync(join(root, "model"));
  writeFileSync(join(root, "file.safetensors"), "");
  // Nothing may be asked here: a request would be refused and fail the test.
  hub = {
    cacheDirectory: join(root, "hub"),
    endpoint: "http://127.0.0.1:9",
    token: null,
    tokenFile: "/nonexistent",
    offline: true,
  };
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const resolve = (model: string) => resolveModel(model, hub, silentProgress);
const refusal = (model: string) =>
  resolve(model).then(
    (path) => `resolved to ${path}`,
    (error: Error) => `${error.name}: ${error.message}`,
  );

describe("a local directory", () => {
  test("absolute, relative and under the home directory", async () => {
    expect(await resolve(join(root, "model"))).toBe(join(root, "model"));
    expect(await resolve(relative(process.cwd(), join(root, "model")))).toBe(join(root, "model"));
    expect(await resolve("~/")).toBe(homedir());
    expect(await resolve("src/hub")).toBe(join(process.cwd(), "src/hub"));
  });

  test("a missing one, and a file, have their sentence", async () => {
    for (const model of [join(root, "nope"), "./nope", "../nope/x", "~/nope-nope", "a/b/c", "nope/", ".", "a\\b"].filter(
      (m) => m !== ".",
    )) {
      expect(await refusal(model)).toStartWith("StartupError: There is no model directory /");
    }
    expect(await refusal(join(root, "file.safetensors"))).toContain("is a file");
  });
});

describe("a Hugging Face id", () => {
  test("its parts", () => {
    expect(parseRepository("owner/name")).toEqual({ owner: "owner", name: "name", id: "owner/name", revision: "main" });
    expect(parseRepository("mlx-community/Qwen3-0.6B-4bit@refs/pr/1")?.revision).toBe("refs/pr/1");
  });

  test("tricks and nonsense are refused", async () => {
    const wrong = [
      "name",
      "a b/c",
      "a/..",
      "../not-there-either",
      "a/b@../../x",
      "a/b@x@y",
      "a/b@",
      "a/b@/etc",
      "a/b@x/../y",
      "a--b/c",
      "-a/b",
      "a/b.",
      "a/b.git",
      "a/b\0c",
    ];
    for (const model of [...wrong, "", "a/b@x//y", `${"a".repeat(97)}/b`, "https://x/y", "a/b@.hidden"])
      expect(parseRepository(model)).toBeNull();
    expect(await refusal("name")).toBe(
      'StartupError: "name" is neither a directory here nor a Hugging Face id (owner/name or owner/name@revision).',
    );
    // As a path, `a/..` is this directory.
    for (const model of wrong.filter((model) => model !== "a/..")) expect(await refusal(model)).toStartWith("StartupError: ");
  });
});

describe("the cache of the hub's own tools", () => {
  const commit = "d".repeat(40);
  function addSnapshot(name: string, files: Record<string, string>): string {
    const repository = join(hub.cacheDirectory, `models--owner--${name}`);
    const snapshot = join(repository, "snapshots", commit);
    for (const directory of [join(repository, "blobs"), join(repository, "refs"), snapshot])
      mkdirSync(directory, { recursive: true });
    writeFileSync(join(repository, "refs", "main"), commit);
    for (const [file, content] of Object.entries(files)) {
      writeFileSync(join(repository, "blobs", `blob-${file}`), content);
      symlinkSync(`../../blobs/blob-${file}`, join(snapshot, file));
    }
    return snapshot;
  }
  const index = JSON.stringify({ weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" } });
  const base = { "config.json": "{}", "tokenizer.json": "{}" };

  test("a whole snapshot is used without a request", async () => {
    const whole = {
      ...base,
      "model.safetensors.index.json": index,
      "model-00001-of-00002.safetensors": "1",
      "model-00002-of-00002.safetensors": "2",
    };
    expect(await resolve("owner/whole").catch(() => null)).toBeNull();
    const snapshot = addSnapshot("whole", whole);
    expect(await resolve("owner/whole")).toBe(snapshot);
    expect(await resolve(`owner/whole@${commit}`)).toBe(snapshot);
    expect(await resolve("owner/single").catch(() => null)).toBeNull();
    expect(await resolve("owner/whole@dev").catch(() => null)).toBeNull();
    const stale = addSnapshot("stale-index", { ...base, "model.safetensors.index.json": index, "model.safetensors": "1" });
    expect(await resolve("owner/stale-index")).toBe(stale);
    const numbered = addSnapshot("numbered", { ...base, "model-00001-of-00001.safetensors": "1" });
    expect(await resolve("owner/numbered")).toBe(numbered);
    expect(addSnapshot("single", { ...base, "model.safetensors": "1" })).toBe(await resolve("owner/single"));
  });

  test("one with something missing is not", async () => {
    addSnapshot("no-shard", { ...base, "model.safetensors.index.json": index, "model-00001-of-00002.safetensors": "1" });
    addSnapshot("no-index", { ...base, "model-00001-of-00002.safetensors": "1" });
    addSnapshot("no-weights", base);
    addSnapshot("adapter-only", { ...base, "adapters.safetensors": "1" });
    addSnapshot("no-tokenizer", { "config.json": "{}", "model.safetensors": "1" });
    addSnapshot("broken-index", { ...base, "model.safetensors.index.json": "{", "model.safetensors": "1" });
    for (const name of ["no-shard", "no-index", "no-weights", "adapter-only", "no-tokenizer", "broken-index"]) {
      expect(await refusal(`owner/${name}`)).toContain("is not whole in the cache");
    }
  });
});

import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspectModel } from "../../src/engine/inspect.ts";
import { defaultPatience } from "../../src/hub/client.ts";
import { withOutline } from "../../src/hub/resolve.ts";
import { HubImitation } from "./imitation.ts";

const SHARDED = join(import.meta.dir, "../fixtures/parity/llama-headdim-sharded");
const patience = { ...defaultPatience, retries: 1, pauseMs: 1 };

let root: string;
let hub: HubImitation;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "mlx-cb-outline-test-"));
  hub = await new HubImitation().start();
  for (const name of readdirSync(SHARDED)) hub.files.set(name, readFileSync(join(SHARDED, name)));
  hub.files.set("README.md", new TextEncoder().encode("much"));
});
afterAll(() => {
  hub.stop();
  rmSync(root, { recursive: true, force: true });
});

const settings = () => hub.settings(join(root, "cache"));
const outlines = () => readdirSync(tmpdir()).filter((name) => name.startsWith("mlx-cb-outline-") && !root.endsWith(name));

test("an absent model is summed up from its headers, and nothing of it stays", async () => {
  let seen = "";
  const summary = await withOutline(
    "owner/name",
    settings(),
    async (directory) => {
      seen = directory;
      expect(readdirSync(directory).sort()).toEqual(
        readdirSync(SHARDED)
          .filter((name) => /^(config|model)/.test(name))
          .sort(),
      );
      for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).size).toBe(hub.files.get(name)!.length);
      return inspectModel(directory, { cpu: true });
    },
    patience,
  );
  expect(summary).toEqual(await inspectModel(SHARDED, { cpu: true }));
  expect(existsSync(seen)).toBe(false);
  expect(existsSync(join(root, "cache"))).toBe(false);
});

test("a local directory is looked at as it is", async () => {
  const copy = join(root, "copy");
  cpSync(SHARDED, copy, { recursive: true });
  expect(await withOutline(copy, settings(), async (directory) => directory)).toBe(copy);
  expect(existsSync(copy)).toBe(true);
});

test("what fails leaves nothing behind", async () => {
  const before = outlines();
  const failure = (use = async () => {}) =>
    withOutline("owner/name", settings(), use, patience).then(
      () => "fine",
      (error: Error) => error.message,
    );
  hub.refusal = { status: 401, code: "GatedRepo" };
  expect(await failure()).toContain("is gated or private");
  hub.refusal = null;
  expect(
    await failure(async () => {
      throw new Error("no");
    }),
  ).toBe("no");
  hub.files.set("model.safetensors.index.json", new TextEncoder().encode('{"weight_map": {"a": "../x"}}'));
  expect(await failure()).toContain("is not a valid safetensors index");
  expect(outlines()).toEqual(before);
});

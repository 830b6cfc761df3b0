import { afterAll, beforeAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { checkCase } from "./case.ts";

const CASES = join(import.meta.dir, "../fixtures/parity");
const names = readdirSync(CASES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);
const scratch = mkdtempSync(join(tmpdir(), "mlx-cb-parity-"));

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

afterAll(() => {
  rmSync(scratch, { recursive: true, force: true });
});

test.each(names)("%s", async (name) => {
  const result = await checkCase(join(CASES, name));
  expect(result.case).toBe(name);
  expect(result.max_error).toBeLessThanOrEqual(result.tolerance);
  expect(result.ok).toBe(true);
});

/** What `bun run parity` prints for directories, and how it ends. */
async function runCommand(...directories: string[]) {
  const command = [process.execPath, join(import.meta.dir, "check.ts"), ...directories];
  const child = Bun.spawn(command, { cwd: scratch, stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const [text, code] = await Promise.all([child.stdout.text(), child.exited]);
  const lines = text.split("\n").filter((line) => line !== "");
  return { code, results: lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

/** A case outside of the repository. */
function copyCase(name: string, as: string): string {
  const directory = join(scratch, as);
  cpSync(join(CASES, name), directory, { recursive: true });
  return directory;
}

test("the command goes on after broken cases, and ends with 1", async () => {
  const unreadable = copyCase("llama-plain", "unreadable");
  writeFileSync(join(unreadable, "model.safetensors"), "nothing");
  const unknown = copyCase("llama-plain", "unknown");
  writeFileSync(join(unknown, "config.json"), '{"model_type": "hal9000"}');
  const nothing = join(scratch, "nothing");
  mkdirSync(nothing);
  const adapter = copyCase("llama-lora", "adapter");
  writeFileSync(join(adapter, "adapters/adapter_config.json"), "{}");
  // The logits of the adapted model are not those of the model.
  const other = copyCase("llama-lora", "other");
  cpSync(join(other, "expected.safetensors"), join(other, "expected_base.safetensors"));
  const fine = copyCase("llama-lora", "fine");

  const { code, results } = await runCommand(unreadable, unknown, nothing, join(scratch, "absent"), adapter, other, fine);
  expect(code).toBe(1);
  expect(results.map(({ case: name, ok }) => [name, ok])).toEqual([
    ["unreadable", false],
    ["unknown", false],
    ["nothing", false],
    ["absent", false],
    ["adapter", false],
    ["llama-lora", false],
    ["llama-lora", true],
  ]);
  for (const { error, max_error } of results.slice(0, 5)) {
    expect(typeof error).toBe("string");
    expect(max_error).toBeNull();
  }
  expect(results[1]!.error).toContain("hal9000");
  expect(results[5]!.max_error as number).toBeGreaterThan(results[5]!.tolerance as number);
});

test("a table of the same, by model", async () => {
  const command = [
    process.execPath,
    join(import.meta.dir, "check.ts"),
    "--markdown",
    join(CASES, "qwen2-tied"),
    join(CASES, "llama-plain"),
  ];
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const [text, code] = await Promise.all([child.stdout.text(), child.exited]);
  const lines = text.trimEnd().split("\n");
  expect(lines.slice(0, 2)).toEqual([
    "| Model | Variant | Largest error alone | in a ragged batch | Tolerance |",
    "| --- | --- | --- | --- | --- |",
  ]);
  expect(lines[2]).toMatch(/^\| `llama` \| GQA, untied head \| \de-\d \| \de-\d \| \de-\d \|$/);
  expect(lines[3]).toMatch(/^\| `qwen2` \| q\/k\/v biases, tied head \| \de-\d \| \de-\d \| \de-\d \|$/);
  expect([lines.length, code]).toEqual([4, 0]);
});

test("a directory of cases outside of the repository", async () => {
  const parent = join(scratch, "cases");
  mkdirSync(parent);
  copyCase("llama-plain", "cases/b");
  copyCase("llama-lora", "cases/a");
  const { code, results } = await runCommand("cases");
  expect(results.map(({ case: name }) => name)).toEqual(["llama-lora", "llama-plain"]);
  for (const { max_error, tolerance, ok } of results) {
    expect(ok).toBe(true);
    expect(max_error as number).toBeLessThanOrEqual(tolerance as number);
  }
  expect(code).toBe(0);
});

/** The test command: `bun test/run.ts [types|lint|unit|parity|e2e|build]…`; without arguments all of it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface Outcome {
  passed: number;
  failed: number;
}

type Phase = () => Promise<Outcome>;

const ROOT = join(import.meta.dir, "..");
/** Directories that are not part of `unit`. */
const APART = ["parity", "e2e", "build"];

const PHASES: Record<string, readonly [string, Phase][]> = {
  types: [["type check", () => runCheck(["run", "--silent", "typecheck"])]],
  lint: [["lint", () => runCheck(["run", "--silent", "lint"])]],
  unit: [
    ["native part", prepareNative],
    ["unit tests", () => runTests((directory) => !APART.includes(directory))],
  ],
  parity: [
    ["native part", prepareNative],
    ["parity tests", () => runTests((directory) => directory === "parity")],
  ],
  e2e: [
    ["executable", buildExecutable],
    ["end-to-end tests", () => runTests((directory) => directory === "e2e")],
  ],
  build: [
    ["executable", buildExecutable],
    ["build tests", () => runTests((directory) => directory === "build")],
  ],
};

/** Runs Bun in the repository with its output passed on; resolves to its exit code. */
async function runBun(args: readonly string[]): Promise<number> {
  const child = Bun.spawn([process.execPath, ...args], { cwd: ROOT, stdin: "ignore", stdout: "inherit", stderr: "inherit" });
  return child.exited;
}

async function runCheck(args: readonly string[]): Promise<Outcome> {
  return (await runBun(args)) === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** A preparation is no test: only its failure counts. */
async function prepareNative(): Promise<Outcome> {
  return { passed: 0, failed: (await runCheck(["build.ts", "native"])).failed };
}

async function buildExecutable(): Promise<Outcome> {
  return { passed: 0, failed: (await runCheck(["build.ts", "executable"])).failed };
}

async function runTests(chosen: (directory: string) => boolean): Promise<Outcome> {
  const all = [...new Bun.Glob("**/*.test.ts").scanSync(join(ROOT, "test"))].sort();
  const files = all.filter((file) => chosen(file.split("/")[0] ?? "")).map((file) => `./test/${file}`);
  if (files.length === 0) {
    console.error("no test files found");
    return { passed: 0, failed: 1 };
  }
  const reports = mkdtempSync(join(tmpdir(), "mlx-cb-test-"));
  const outfile = join(reports, "junit.xml");
  const exitCode = await runBun(["test", "--timeout=120000", "--reporter=junit", `--reporter-outfile=${outfile}`, ...files]);
  const report = await readOptional(outfile);
  rmSync(reports, { recursive: true, force: true });
  return countTests(report, exitCode);
}

async function readOptional(path: string): Promise<string> {
  const file = Bun.file(path);
  return (await file.exists()) ? file.text() : "";
}

/** Counts of a JUnit report. A crash or an error outside of any test shows in the exit code alone. */
function countTests(report: string, exitCode: number): Outcome {
  const root = report.match(/<testsuites[^>]*>/)?.[0] ?? "";
  const count = (name: string) => Number(root.match(new RegExp(` ${name}="(\\d+)"`))?.[1] ?? 0);
  const failed = count("failures") + count("errors");
  const passed = count("tests") - failed - count("skipped");
  return { passed, failed: failed === 0 && exitCode !== 0 ? 1 : failed };
}

async function main(): Promise<void> {
  const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(PHASES);
  const unknown = names.find((name) => !PHASES[name]);
  if (unknown) {
    console.error(`There is no phase ${unknown}: ${Object.keys(PHASES).join(", ")}.`);
    process.exit(2);
  }
  // What two phases need is done once.
  const steps = new Map(names.flatMap((name) => PHASES[name] ?? []));
  const total: Outcome = { passed: 0, failed: 0 };
  const failures: string[] = [];
  for (const [title, step] of steps) {
    console.log(`\n== ${title}`);
    const outcome = await step();
    total.passed += outcome.passed;
    total.failed += outcome.failed;
    if (outcome.failed > 0) failures.push(title);
  }
  console.log(failures.length > 0 ? `\nfailed: ${failures.join(", ")}` : "");
  console.log(`${total.passed} passed, ${total.failed} failed`);
  process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
}

await main();

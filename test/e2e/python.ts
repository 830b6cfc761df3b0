/** Python clients and tools, installed once for a list of pinned versions. They need Python 3.11 or newer with pip. */
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { withLock } from "../../src/mlx/build/lock.ts";
import { ROOT } from "../../src/mlx/build/native.ts";
import { type Finished, report, runProcess, sha256 } from "../../src/mlx/build/process.ts";

const scripts = join(import.meta.dir, "python");
const requirements = join(scripts, "requirements.txt");
const cache = join(ROOT, ".native/test-python");

let prepared: Promise<string> | null = null;

/** The directory of a virtual environment with the packages. */
function prepare(): Promise<string> {
  prepared ??= install();
  return prepared;
}

async function install(): Promise<string> {
  const interpreter = await readInterpreter();
  const key = sha256(await Bun.file(requirements).text(), interpreter).slice(0, 12);
  const directory = join(cache, key);
  if (existsSync(directory)) return directory;
  const waiting = () => report("waiting for another process that installs the Python clients");
  return withLock(join(cache, "lock"), waiting, async () => {
    if (existsSync(directory)) return directory;
    report("installing the Python clients");
    const aside = await mkdtemp(join(cache, ".install-"));
    try {
      await run(["python3", "-m", "venv", "--without-pip", aside]);
      const [python = ""] = await readdir(join(aside, "lib"));
      const target = join(aside, "lib", python, "site-packages");
      // The list is whole, and nothing is compiled.
      const options = [
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-warn-script-location",
        "--no-deps",
        "--only-binary=:all:",
      ];
      await run(["python3", "-m", "pip", "install", ...options, "--target", target, "-r", requirements]);
      await rename(aside, directory);
    } finally {
      await rm(aside, { recursive: true, force: true });
    }
    return directory;
  });
}

/** What makes one `python3` another one. */
async function readInterpreter(): Promise<string> {
  const program = "import sys; v = sys.version_info; assert v >= (3, 11), v; import pip; print(v, sys.executable)";
  const { exitCode, stdout, stderr } = await runProcess(["python3", "-c", program]);
  if (exitCode === 0) return stdout;
  throw new Error(`\`python3\` has to be Python 3.11 or newer with pip: ${stderr.trim().split("\n").at(-1)}`);
}

async function run(command: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await runProcess(command);
  if (exitCode !== 0) throw new Error(`${command.slice(0, 4).join(" ")} failed: ${stderr.trim()}`);
}

/** Runs `python ARGS` with the packages, in the directory of the scripts. */
export async function runPython(args: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
  const python = join(await prepare(), "bin/python");
  // No proxy between a client and this machine.
  const own = { PYTHONDONTWRITEBYTECODE: "1", PYTHONUTF8: "1", NO_PROXY: "*", no_proxy: "*" };
  return runProcess([python, ...args], { ...own, ...env });
}

export const scriptPath = (name: string): string => join(scripts, name);

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { StartupError } from "../../errors.ts";
import type { Wheel } from "../wheels.ts";
import { report, runProcess } from "./process.ts";

/** Fetches a wheel by pip, checks its sha256 and unpacks it below `cache`; returns the directory. Done once per pin. */
export async function fetchWheel(wheel: Wheel, cache: string): Promise<string> {
  const directory = join(cache, `${wheel.name}-${wheel.version}-${wheel.sha256.slice(0, 12)}`);
  if (existsSync(directory)) return directory;
  await mkdir(cache, { recursive: true });
  const aside = await mkdtemp(join(cache, ".fetch-"));
  try {
    report(`fetching ${wheel.name} ${wheel.version}`);
    const archive = await download(wheel, aside);
    await verify(wheel, archive);
    const content = join(aside, "content");
    const unpacked = await runProcess(["python3", "-m", "zipfile", "-e", archive, content]);
    if (unpacked.exitCode !== 0) throw new StartupError(`${wheel.name} could not be unpacked: ${lastLine(unpacked.stderr)}`);
    await rename(content, directory).catch((error: unknown) => {
      if (!existsSync(directory)) throw error;
    });
    return directory;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

async function download(wheel: Wheel, directory: string): Promise<string> {
  if (!Bun.which("python3")) {
    throw new StartupError(
      "Preparing the native part needs Python 3 with pip (python3 was not found on PATH): please install it.",
    );
  }
  const options = [
    "--no-deps",
    "--only-binary=:all:",
    "--disable-pip-version-check",
    "--quiet",
    "--retries",
    "2",
    "--timeout",
    "20",
  ];
  const platform = ["--platform", wheel.platform, "--python-version", "3.12"];
  const name = `${wheel.name}==${wheel.version}`;
  const pip = await runProcess(["python3", "-m", "pip", "download", ...options, ...platform, name, "-d", directory]);
  if (pip.exitCode !== 0) {
    if (/No module named '?pip/.test(pip.stderr)) {
      throw new StartupError("Preparing the native part needs pip (python3 has no module pip): please install it.");
    }
    throw new StartupError(`pip could not download ${name} (can it reach its package index?): ${lastError(pip.stderr)}`);
  }
  const archive = (await readdir(directory)).find((entry) => entry.endsWith(".whl"));
  if (!archive) throw new StartupError(`pip downloaded no wheel for ${name}.`);
  return join(directory, archive);
}

async function verify(wheel: Wheel, archive: string): Promise<void> {
  const hasher = new Bun.CryptoHasher("sha256");
  for await (const chunk of Bun.file(archive).stream()) hasher.update(chunk);
  const digest = hasher.digest("hex");
  if (digest !== wheel.sha256) {
    throw new StartupError(
      `The checksum of ${wheel.name} ${wheel.version} is ${digest}, not the pinned ${wheel.sha256}: it was not used.`,
    );
  }
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "no reason given";
}

/** Pip's own reason: warnings about retries come before it, notices after it. */
function lastError(text: string): string {
  const errors = text.split("\n").filter((line) => line.startsWith("ERROR:"));
  return errors[0]?.replace("ERROR: ", "") ?? lastLine(text);
}

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { StartupError } from "../../errors.ts";
import { report, runProcess, sha256 } from "./process.ts";
import type { Toolchain } from "./toolchain.ts";

const PARALLEL_COMPILATIONS = 2;

export interface CompileOptions {
  /** Directory of the shim's `*.cpp` and `*.h`. */
  sources: string;
  includes: readonly string[];
  /** Where objects are kept, named by the hash of all that made them. */
  objects: string;
  /** Changes when the wheels do: their headers are not read for the hash. */
  wheels: string;
  toolchain: Toolchain;
}

/** Compiles every `*.cpp` of the shim whose inputs changed; returns the objects. Throws `StartupError`. */
export async function compileSources(options: CompileOptions): Promise<string[]> {
  const sources = readdirSync(options.sources)
    .filter((name) => name.endsWith(".cpp"))
    .sort();
  if (sources.length === 0) throw new StartupError(`There are no C++ sources in ${options.sources}.`);
  await mkdir(options.objects, { recursive: true });
  const jobs = sources.map((name) => ({
    name,
    object: join(options.objects, `${basename(name, ".cpp")}-${objectKey(name, options)}.o`),
  }));
  const queue = jobs.filter((job) => !existsSync(job.object));
  const worker = async () => {
    for (let job = queue.shift(); job; job = queue.shift()) await compileOne(job.name, job.object, options);
  };
  await Promise.all(Array.from({ length: PARALLEL_COMPILATIONS }, worker));
  const kept = new Set(jobs.map((job) => basename(job.object)));
  for (const entry of await readdir(options.objects))
    if (!kept.has(entry)) await rm(join(options.objects, entry), { force: true });
  return jobs.map((job) => job.object);
}

async function compileOne(name: string, object: string, options: CompileOptions): Promise<void> {
  report(`compiling ${name}`);
  const aside = `${object}.tmp`;
  const includes = options.includes.flatMap((directory) => ["-isystem", directory]);
  const source = join(options.sources, name);
  const { compile, env } = options.toolchain;
  const done = await runProcess([...compile, ...includes, "-c", source, "-o", aside], env);
  if (done.stderr) report(done.stderr.trimEnd());
  if (done.exitCode !== 0) throw new StartupError(`Compiling ${source} failed; the compiler's messages are above.`);
  await rename(aside, object);
}

function objectKey(name: string, options: CompileOptions): string {
  const files = [...includedFiles(join(options.sources, name))].sort();
  const { identity, compile } = options.toolchain;
  return sha256(
    identity,
    options.wheels,
    compile.join(" "),
    ...files.flatMap((file) => [basename(file), readFileSync(file)]),
  ).slice(0, 16);
}

/** The source and the headers of ours that it includes, directly or not. */
function includedFiles(file: string, found: Set<string> = new Set()): Set<string> {
  found.add(file);
  for (const match of readFileSync(file, "utf8").matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
    const header = join(dirname(file), match[1] ?? "");
    if (!found.has(header) && existsSync(header)) includedFiles(header, found);
  }
  return found;
}

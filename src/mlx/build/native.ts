import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { copyFile, mkdir, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { StartupError } from "../../errors.ts";
import { type NativeTarget, WHEELS } from "../wheels.ts";
import { compileSources } from "./compile.ts";
import { fetchWheel } from "./fetch.ts";
import { requireGlibc, requireHost } from "./host.ts";
import { writeLibcxxStub } from "./libcxx-stub.ts";
import { withLock } from "./lock.ts";
import { report, runProcess, sha256 } from "./process.ts";
import { findToolchain, shimName } from "./toolchain.ts";

/** The repository root. */
export const ROOT = join(import.meta.dir, "../../..");

/** Where `prepareNative` puts the files of a target. */
export function nativeDirectory(target: NativeTarget): string {
  return join(ROOT, ".native", target);
}

export interface NativeOptions {
  /** Where the shim's sources are. */
  sources?: string;
  /** Where everything goes; `<output>/<target>` is the prepared part. */
  output?: string;
}

interface Stamp {
  key: string;
  /** Relative path to size in bytes. */
  files: Record<string, number>;
}

/** libmlx.so looks for its BLAS in `$ORIGIN/../../mlx_cpu.libs`, so the wheel's layout is kept, also after extraction. */
const LIBRARY_DIRECTORY = "mlx/lib";

/**
 * Makes `.native/<target>`: libmlx and what it needs from the wheels, and our shim next to it. Returns the files, relative to it, at
 * once when nothing changed. Safe to run twice at a time. Throws `StartupError` with one sentence on what is lacking.
 */
export async function prepareNative(target?: NativeTarget, options: NativeOptions = {}): Promise<string[]> {
  const output = options.output ?? join(ROOT, ".native");
  const sources = options.sources ?? join(ROOT, "src/mlx/native");
  const chosen = target ?? requireHost();
  const directory = join(output, chosen);
  const ready = () => upToDate(directory, inputsKey(chosen, sources));
  const files = ready();
  if (files) return files;
  const host = requireHost();
  const waiting = () => report("waiting for another process that prepares the native part");
  return withLock(join(output, `${chosen}.lock`), waiting, async () => ready() ?? (await build(chosen, host, sources, output)));
}

async function build(target: NativeTarget, host: NativeTarget, sources: string, output: string): Promise<string[]> {
  const key = inputsKey(target, sources);
  requireGlibc(target);
  const cache = join(output, "wheels");
  // The toolchain first: a missing compiler should be told before anything is downloaded.
  const toolchain = await findToolchain(target, host, cache);
  const wheels: string[] = [];
  for (const wheel of WHEELS[target]) wheels.push(await fetchWheel(wheel, cache));
  const [mlx = "", openblas = ""] = wheels;
  const identity = WHEELS[target].map((wheel) => wheel.sha256).join();
  const objects = await compileSources({
    sources,
    includes: [join(mlx, "mlx/include"), ...(target === "darwin-arm64" ? [join(mlx, "mlx/include/metal_cpp")] : [])],
    objects: join(output, "objects", target),
    wheels: identity,
    toolchain,
  });

  const directory = join(output, target);
  const shipped = await wheelFiles(target, mlx, openblas);
  for (const [path, source] of shipped) await place(source, join(directory, path));
  const library = join(directory, LIBRARY_DIRECTORY);
  const aside = join(library, `${shimName(target)}.tmp`);
  const libraries = [`-L${library}`, "-lmlx"];
  if (target === "linux-x64") libraries.push("-l:libscipy_openblas.so");
  else if (host !== target) {
    const stubs = join(output, "stubs");
    await writeLibcxxStub(objects, join(library, "libmlx.dylib"), stubs);
    libraries.push(`-L${stubs}`, "-lcxx-system");
  }
  report("linking");
  const linked = await runProcess([...toolchain.link, "-o", aside, ...objects, ...libraries], toolchain.env);
  if (linked.exitCode !== 0) {
    report(linked.stderr.trimEnd());
    throw new StartupError("Linking the native part failed; the linker's messages are above.");
  }
  const shim = join(LIBRARY_DIRECTORY, shimName(target));
  await rename(aside, join(directory, shim));

  const files = [...shipped.keys(), shim];
  const sizes = Object.fromEntries(files.map((path) => [path, statSync(join(directory, path)).size]));
  const stamp: Stamp = { key, files: sizes };
  await Bun.write(join(directory, "stamp.json.tmp"), JSON.stringify(stamp));
  await rename(join(directory, "stamp.json.tmp"), join(directory, "stamp.json"));
  return files;
}

/** What is shipped of the wheels: path in the prepared directory to where it lies now. */
async function wheelFiles(target: NativeTarget, mlx: string, openblas: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const fromMlx = target === "darwin-arm64" ? ["libmlx.dylib", "mlx.metallib"] : ["libmlx.so"];
  for (const name of fromMlx) files.set(join(LIBRARY_DIRECTORY, name), join(mlx, LIBRARY_DIRECTORY, name));
  if (target === "linux-x64") {
    const blas = "libscipy_openblas.so";
    files.set(join(LIBRARY_DIRECTORY, blas), join(openblas, "scipy_openblas32/lib", blas));
    for (const name of await readdir(join(mlx, "mlx_cpu.libs")))
      files.set(join("mlx_cpu.libs", name), join(mlx, "mlx_cpu.libs", name));
  }
  return files;
}

/** Copies by way of a temporary name: a process that has the old file mapped keeps it, and nobody sees half a file. */
async function place(source: string, destination: string): Promise<void> {
  if (existsSync(destination) && statSync(destination).size === statSync(source).size) return;
  await mkdir(dirname(destination), { recursive: true });
  await rm(`${destination}.tmp`, { force: true });
  await copyFile(source, `${destination}.tmp`);
  await rename(`${destination}.tmp`, destination);
}

/** Hash of everything that we write and that the result depends on. The compiler is left out: a newer one changes nothing. */
function inputsKey(target: NativeTarget, sources: string): string {
  const read = (directory: string, pattern: RegExp) =>
    readdirSync(directory)
      .filter((name) => pattern.test(name))
      .sort()
      .flatMap((name) => [name, readFileSync(join(directory, name))]);
  return sha256(target, JSON.stringify(WHEELS[target]), ...read(sources, /\.(cpp|h|inc)$/), ...read(import.meta.dir, /\.ts$/));
}

function upToDate(directory: string, key: string): string[] | null {
  try {
    const stamp = JSON.parse(readFileSync(join(directory, "stamp.json"), "utf8")) as Stamp;
    if (stamp.key !== key) return null;
    const complete = Object.entries(stamp.files).every(([path, size]) => statSync(join(directory, path)).size === size);
    return complete ? Object.keys(stamp.files) : null;
  } catch {
    return null;
  }
}

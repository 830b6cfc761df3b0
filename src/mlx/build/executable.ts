import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { StartupError } from "../../errors.ts";
import type { EmbeddedGroup, EmbeddedGroupName } from "../extract.ts";
import type { NativeTarget } from "../wheels.ts";
import { requireDarwinLinkage } from "./darwin-check.ts";
import { requireHost } from "./host.ts";
import { nativeDirectory, prepareNative, ROOT } from "./native.ts";
import { report, runProcess, sha256 } from "./process.ts";

const FRAME_BYTES = 32 << 20;
/** Higher levels save 10 % of the libraries, a hundredth of the executable, for twenty times the time. */
const ZSTD_LEVEL = 9;
const MODEL = join(ROOT, "src/assets/tiny-chat");
/** The thread that compiles grammars. */
const WORKER = "grammar-worker.ts";

/** Builds `dist/mlx-cb-serve` for this machine, or `dist/mlx-cb-serve-<target>`; returns its path. Throws `StartupError`. */
export async function buildExecutable(target?: NativeTarget, program = "src/main.ts"): Promise<string> {
  const host = requireHost();
  const chosen = target ?? host;
  const nativeFiles = await prepareNative(chosen);
  const outfile = join(ROOT, "dist", chosen === host ? "mlx-cb-serve" : `mlx-cb-serve-${chosen}`);
  const work = join(ROOT, ".native/executable", `${chosen}-${process.pid}`);
  await mkdir(work, { recursive: true });
  try {
    const groups = {
      native: await pack("native", nativeDirectory(chosen), nativeFiles, work),
      "tiny-chat": await pack("tiny-chat", MODEL, (await readdir(MODEL)).sort(), work),
    };
    await writeEntry(work, groups, program);
    const aside = join(work, "mlx-cb-serve");
    await compile([join(work, "entry.ts"), join(work, WORKER)], chosen === host ? undefined : chosen, aside);
    if (chosen === "darwin-arm64") {
      const linkage = await requireDarwinLinkage(nativeDirectory(chosen), nativeFiles, aside);
      report(`linkage of ${linkage.shipped + linkage.libSystem + linkage.unlisted} symbols checked`);
    }
    await mkdir(join(ROOT, "dist"), { recursive: true });
    await rename(aside, outfile);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  console.log(`${relative(process.cwd(), outfile)}: ${(Bun.file(outfile).size / 1e6).toFixed(1)} MB`);
  return outfile;
}

/** Stores the files below `work`, compressed where it is worth it. */
async function pack(name: EmbeddedGroupName, directory: string, files: readonly string[], work: string): Promise<EmbeddedGroup> {
  const group = { hash: "", files: [] as EmbeddedGroup["files"][number][] };
  const digests: string[] = [];
  for (const [index, path] of files.entries()) {
    const content = Buffer.from(await Bun.file(join(directory, path)).arrayBuffer());
    const frames: Buffer[] = [];
    for (let at = 0; at < content.length; at += FRAME_BYTES) {
      frames.push(await Bun.zstdCompress(content.subarray(at, at + FRAME_BYTES), { level: ZSTD_LEVEL }));
    }
    const packed = Buffer.concat(frames);
    const worthIt = packed.length < 0.8 * content.length;
    const source = `${name}-${index}.bin`;
    await Bun.write(join(work, source), worthIt ? packed : content);
    digests.push(path, sha256(content));
    group.files.push({ path, source, size: content.length, frames: worthIt ? frames.map((frame) => frame.length) : null });
  }
  return { ...group, hash: sha256(...digests) };
}

/** Modules run in the order of their imports: registration is one of its own, so that it comes before the program. */
async function writeEntry(work: string, groups: Record<EmbeddedGroupName, EmbeddedGroup>, program: string): Promise<void> {
  const imports: string[] = [];
  const entries = Object.entries(groups).map(([name, group]) => {
    const files = group.files.map((file) => {
      const variable = `file${imports.length}`;
      imports.push(`import ${variable} from "./${file.source}" with { type: "file" };`);
      return `{ path: ${JSON.stringify(file.path)}, source: ${variable}, size: ${file.size}, frames: ${JSON.stringify(file.frames)} }`;
    });
    return `${JSON.stringify(name)}: { hash: "${group.hash}", files: [${files.join(", ")}] }`;
  });
  const modulePath = (path: string) => JSON.stringify(relative(work, join(ROOT, path)));
  const register = `import { registerEmbedded } from ${modulePath("src/mlx/extract.ts")};`;
  await Bun.write(
    join(work, "register.ts"),
    `${register}\n${imports.join("\n")}\nregisterEmbedded({ ${entries.join(", ")} });\n`,
  );
  await Bun.write(join(work, "entry.ts"), `import "./register.ts";\nimport ${modulePath(program)};\n`);
  // In the bundle every module lies where the program does, and the one that starts the worker looks for it beside itself.
  await Bun.write(join(work, WORKER), `import ${modulePath(`src/grammar/worker/${WORKER}`)};\n`);
}

async function compile(entries: readonly string[], target: NativeTarget | undefined, outfile: string): Promise<void> {
  // Elysia reads the source of handlers, so names stay. Files of the directory that a user starts from have no say.
  const options = [
    "--minify-whitespace",
    "--minify-syntax",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    "--no-compile-autoload-tsconfig",
    "--no-compile-autoload-package-json",
    ...(target ? [`--target=bun-${target}`] : []),
  ];
  const run = (more: readonly string[]) =>
    runProcess([process.execPath, "build", "--compile", ...options, ...more, ...entries, "--outfile", outfile]);
  let built = await run([]);
  if (built.exitCode !== 0 && target === "darwin-arm64") built = await run([`--compile-executable-path=${await fetchRuntime()}`]);
  if (built.exitCode !== 0) {
    report(`${built.stdout}${built.stderr}`.trimEnd());
    throw new StartupError("Bundling the executable failed; Bun's messages are above.");
  }
}

/** Bun's macOS runtime by npm, for when Bun itself cannot download it (a registry of one's own in npm's settings only). */
async function fetchRuntime(): Promise<string> {
  const directory = join(ROOT, ".native/bun-darwin", Bun.version);
  const runtime = join(directory, "package/bin/bun");
  if (await Bun.file(runtime).exists()) return runtime;
  await mkdir(directory, { recursive: true });
  const name = `@oven/bun-darwin-aarch64@${Bun.version}`;
  const packed = await runProcess(["npm", "pack", name, "--silent", "--pack-destination", directory]);
  const archive = join(directory, packed.stdout.trim().split("\n").at(-1) ?? "");
  const unpacked = packed.exitCode === 0 && (await runProcess(["tar", "-xzf", archive, "-C", directory])).exitCode === 0;
  if (!unpacked) throw new StartupError(`Bun's macOS runtime could not be fetched: neither by Bun nor by npm as ${name}.`);
  await rm(archive, { force: true });
  return runtime;
}

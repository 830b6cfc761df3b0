/**
 * Checks on any machine that the macOS files find what they need. Covered: each symbol of libshim and libmlx against the exports of
 * what is shipped and, of the system's, against Zig's list of libSystem and what Apple's own build takes from libc++ (at link time);
 * that all other libraries have a system path; signatures. Not covered: whether the frameworks export what libmlx (built by Apple's
 * tools for macOS 14) takes from them, whether macOS 14 in particular has all of libSystem's newest list, and any running of the code.
 */
import { basename, join } from "node:path";
import { StartupError } from "../../errors.ts";
import { checkSignature } from "./code-signature.ts";
import { type MachO, readMachO } from "./mach-o.ts";
import { ROOT } from "./native.ts";
import { libSystemStub } from "./toolchain.ts";

export interface DarwinReport {
  /** Symbols looked up in what is shipped, in libSystem's list, and those whose library only was looked at. */
  shipped: number;
  libSystem: number;
  unlisted: number;
  problems: string[];
}

const LIBSYSTEM = "/usr/lib/libSystem.B.dylib";
const SYSTEM_PATH = /^\/(usr\/lib|System\/Library)\//;

/** Checks the files of `directory` (relative paths; libraries are those named `*.dylib`). */
export async function checkDarwin(directory: string, files: readonly string[], executable?: string): Promise<DarwinReport> {
  const report: DarwinReport = { shipped: 0, libSystem: 0, unlisted: 0, problems: [] };
  const libraries = new Map<string, MachO>();
  for (const path of files.filter((file) => file.endsWith(".dylib"))) {
    const library = await readMachO(join(directory, path));
    libraries.set(basename(path), library);
    note(report, basename(path), checkSignature(library));
    if (library.installName !== `@rpath/${basename(path)}`) note(report, path, `calls itself ${library.installName}`);
  }
  const stub = await libSystemStub(join(ROOT, ".native/wheels"));
  const libSystem = stub ? readSymbolList(await Bun.file(stub).text()) : null;
  for (const [name, library] of libraries) checkLibrary(name, library, libraries, libSystem, report);
  if (executable) {
    const program = await readMachO(executable);
    note(report, basename(executable), checkSignature(program));
    for (const dependency of program.dependencies) {
      if (!SYSTEM_PATH.test(dependency)) note(report, basename(executable), `needs ${dependency}, which is not of the system`);
    }
  }
  return report;
}

export async function requireDarwinLinkage(
  directory: string,
  files: readonly string[],
  executable?: string,
): Promise<DarwinReport> {
  const report = await checkDarwin(directory, files, executable);
  if (report.problems.length > 0) throw new StartupError(`The macOS files do not fit together: ${report.problems.join("; ")}.`);
  return report;
}

function checkLibrary(
  name: string,
  library: MachO,
  shipped: ReadonlyMap<string, MachO>,
  libSystem: ReadonlySet<string> | null,
  report: DarwinReport,
): void {
  for (const dependency of library.dependencies) {
    const known = dependency.startsWith("@rpath/") && shipped.has(basename(dependency));
    if (known && !library.rpaths.includes("@loader_path")) note(report, name, `has no rpath that finds ${dependency}`);
    if (!known && !SYSTEM_PATH.test(dependency))
      note(report, name, `needs ${dependency}, which is neither shipped nor of the system`);
  }
  for (const symbol of library.imports) {
    if (symbol.from === null) {
      note(report, name, `takes ${symbol.name} from no library in particular`);
    } else if (symbol.from.startsWith("@rpath/")) {
      report.shipped++;
      if (!shipped.get(basename(symbol.from))?.exports.has(symbol.name))
        note(report, name, `misses ${symbol.name} in ${symbol.from}`);
    } else if (symbol.from === LIBSYSTEM && libSystem) {
      report.libSystem++;
      if (!symbol.weak && !libSystem.has(symbol.name)) note(report, name, `misses ${symbol.name} in libSystem`);
    } else {
      report.unlisted++;
    }
  }
}

/** All names in the bracketed lists of a `.tbd` file; names of targets and libraries among them do no harm. */
export function readSymbolList(tbd: string): Set<string> {
  const lists = tbd.matchAll(/(?:weak-|thread-local-)?symbols:\s*\[([^\]]*)\]/g);
  return new Set([...lists].flatMap((list) => (list[1] ?? "").split(",").map((name) => name.trim().replace(/^'|'$/g, ""))));
}

function note(report: DarwinReport, file: string, problem: string | null): void {
  if (problem) report.problems.push(`${file} ${problem}`);
}

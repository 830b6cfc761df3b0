import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { readMachO } from "./mach-o.ts";

/** Mangled names of the standard library and of the C++ runtime: operators, type information, exceptions. */
const STANDARD = /^(__ZN?K?St|__ZT[ISV]?(N?St|N10__cxxabiv1|[a-zD])|__Zn[wa]|__Zd[la]|___cxa_|___gxx_personality)/;
/** Of the same look, but libSystem's. */
const LIBSYSTEM = new Set(["___cxa_atexit", "___cxa_finalize"]);

/**
 * Writes `libcxx-system.tbd`, what a linker must know of macOS's libc++, into `directory`: the names of the standard library that the
 * objects leave open and libmlx does not have. That macOS 14 has them all is the compiler's doing: libc++ marks what came later as
 * unavailable, and using it for this target is a compile error.
 */
export async function writeLibcxxStub(objects: readonly string[], libmlx: string, directory: string): Promise<void> {
  const { exports } = await readMachO(libmlx);
  const symbols = new Set<string>();
  for (const object of objects) {
    for (const { name } of (await readMachO(object)).imports) {
      if (STANDARD.test(name) && !LIBSYSTEM.has(name) && !exports.has(name)) symbols.add(name);
    }
  }
  const lines = [
    "--- !tapi-tbd",
    "tbd-version: 4",
    "targets: [ arm64-macos ]",
    "install-name: '/usr/lib/libc++.1.dylib'",
    "current-version: 1",
    "exports:",
    "  - targets: [ arm64-macos ]",
    `    symbols: [ ${[...symbols].sort().join(", ")} ]`,
    "...",
    "",
  ];
  await mkdir(directory, { recursive: true });
  await Bun.write(join(directory, "libcxx-system.tbd"), lines.join("\n"));
}

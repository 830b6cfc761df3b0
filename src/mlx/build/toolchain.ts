import { chmodSync, existsSync } from "node:fs";
import { join } from "node:path";
import { StartupError } from "../../errors.ts";
import { type NativeTarget, ZIG_WHEEL } from "../wheels.ts";
import { fetchWheel } from "./fetch.ts";
import { runProcess } from "./process.ts";

/** How to turn sources into the shim of one target. */
export interface Toolchain {
  /** Compiler and the flags of every compilation; sources, includes and output are added. */
  compile: readonly string[];
  /** Linker driver and its flags; objects, libraries and output are added. */
  link: readonly string[];
  env: Record<string, string>;
  /** Changes when the compiler does. */
  identity: string;
}

const COMPILE_FLAGS = ["-std=c++20", "-O3", "-DNDEBUG", "-fPIC", "-Wall"];
const DARWIN_LINK = ["-Wl,-install_name,@rpath/libshim.dylib", "-Wl,-rpath,@loader_path"];

export function shimName(target: NativeTarget): string {
  return target === "darwin-arm64" ? "libshim.dylib" : "libshim.so";
}

/** The toolchain for `target` on this machine. Throws `StartupError` when there is none. */
export async function findToolchain(target: NativeTarget, host: NativeTarget, cache: string): Promise<Toolchain> {
  if (target !== host) {
    if (target === "darwin-arm64") return zigToolchain(cache);
    throw new StartupError(`The native part for ${target} can only be built on ${target}.`);
  }
  const compiler = await systemCompiler();
  if (target === "linux-x64") {
    return {
      ...compiler,
      compile: [...compiler.compile, "-pthread"],
      link: [...compiler.link, "-shared", "-pthread", "-Wl,-z,defs", "-Wl,-rpath,$ORIGIN"],
    };
  }
  // Not covered by the tests, which run on Linux: the plain way with Apple's clang.
  const minimum = "-mmacosx-version-min=14.0";
  return {
    ...compiler,
    compile: [...compiler.compile, minimum],
    link: [...compiler.link, "-dynamiclib", minimum, ...DARWIN_LINK],
  };
}

async function systemCompiler(): Promise<Toolchain> {
  const name = process.env.CXX || "c++";
  if (!Bun.which(name)) {
    throw new StartupError(
      `Preparing the native part needs a C++20 compiler (${name} was not found on PATH): please install GCC 11 or Clang 14 or newer.`,
    );
  }
  const version = await runProcess([name, "--version"]);
  const probe = "#include <bit>\n#include <concepts>\n#include <span>\n#if __cplusplus < 201709L\n#error old\n#endif\n";
  const probed = await runProcess(["sh", "-c", `printf '%s' "$1" | "$2" -std=c++20 -x c++ -fsyntax-only -`, "sh", probe, name]);
  const firstLine = version.stdout.split("\n")[0] ?? name;
  if (probed.exitCode !== 0) {
    throw new StartupError(`The C++ compiler cannot build C++20 (${firstLine}): please install GCC 11 or Clang 14 or newer.`);
  }
  return { compile: [name, ...COMPILE_FLAGS], link: [name], env: {}, identity: `${name} ${firstLine}` };
}

/**
 * Zig brings headers and libSystem for macOS, but would link its own libc++ statically. Exceptions of libmlx belong to the system's
 * libc++, and a catch clause of another copy does not match their types; so Zig links as C, against the system's libc++ only
 * (`libcxx-stub.ts`), and availability annotations keep out what macOS 14 lacks.
 */
async function zigToolchain(cache: string): Promise<Toolchain> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new StartupError("Cross-compiling for macOS works on Linux x86-64 only.");
  }
  const zig = join(await fetchZig(cache), "zig");
  const target = ["-target", "aarch64-macos.14.0"];
  const availability = [
    "-U_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS",
    "-D_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS=1",
    "-fno-sized-deallocation",
  ];
  return {
    compile: [zig, "c++", ...target, ...COMPILE_FLAGS, ...availability],
    link: [zig, "cc", ...target, "-shared", ...DARWIN_LINK],
    env: { ZIG_GLOBAL_CACHE_DIR: join(cache, "zig-cache"), ZIG_LOCAL_CACHE_DIR: join(cache, "zig-cache") },
    identity: `zig ${ZIG_WHEEL.version}`,
  };
}

async function fetchZig(cache: string): Promise<string> {
  const directory = join(await fetchWheel(ZIG_WHEEL, cache), "ziglang");
  chmodSync(join(directory, "zig"), 0o755);
  return directory;
}

/** Zig's description of macOS's libSystem, once Zig was fetched. */
export async function libSystemStub(cache: string): Promise<string | null> {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  const path = join(await fetchZig(cache), "lib/libc/darwin/libSystem.tbd");
  return existsSync(path) ? path : null;
}

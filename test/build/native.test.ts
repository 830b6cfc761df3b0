import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prepareNative, ROOT } from "../../src/mlx/build/native.ts";
import { shimName } from "../../src/mlx/build/toolchain.ts";
import { hostTarget } from "../../src/mlx/library.ts";

let work: string;
let sources: string;
let output: string;
let shim: string;

beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), "mlx-cb-native-"));
  sources = join(work, "sources");
  output = join(work, "output");
  shim = join(output, hostTarget(), "mlx/lib", shimName(hostTarget()));
  mkdirSync(sources);
  mkdirSync(output);
  writeFileSync(join(sources, "one.cpp"), '#include "both.h"\n#include "mlx/array.h"\nextern "C" int one() { return BOTH; }\n');
  writeFileSync(join(sources, "two.cpp"), '#include "both.h"\nextern "C" int two() { return BOTH; }\n');
  writeFileSync(join(sources, "three.cpp"), 'extern "C" int three() { return 3; }\n');
  writeFileSync(join(sources, "both.h"), "#define BOTH 2\n");
});
afterEach(() => rmSync(work, { recursive: true, force: true }));

async function prepare(env: Record<string, string> = {}): Promise<{ exitCode: number; lines: string[] }> {
  const script = join(import.meta.dir, "prepare-process.ts");
  const child = Bun.spawn([process.execPath, script, sources, output], {
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const text = await child.stderr.text();
  return { exitCode: await child.exited, lines: text.trim().split("\n").filter(Boolean) };
}

const compiled = (lines: readonly string[]) => lines.filter((line) => line.startsWith("compiling")).sort();

describe("with the wheels at hand", () => {
  beforeEach(async () => {
    await prepareNative();
    symlinkSync(join(ROOT, ".native/wheels"), join(output, "wheels"));
  });

  test("compiles what changed, and is silent when nothing did", async () => {
    const first = await prepare();
    expect(first.exitCode).toBe(0);
    expect(compiled(first.lines)).toEqual(["compiling one.cpp", "compiling three.cpp", "compiling two.cpp"]);
    expect(await prepare()).toEqual({ exitCode: 0, lines: [] });
    writeFileSync(join(sources, "three.cpp"), 'extern "C" int three() { return 4; }\n');
    expect(compiled((await prepare()).lines)).toEqual(["compiling three.cpp"]);
    writeFileSync(join(sources, "both.h"), "#define BOTH 3\n");
    expect(compiled((await prepare()).lines)).toEqual(["compiling one.cpp", "compiling two.cpp"]);
  });

  test("heals a damaged library", async () => {
    await prepare();
    const { size } = statSync(shim);
    const libmlx = shim.replace("libshim", "libmlx");
    truncateSync(shim, 10);
    truncateSync(libmlx, 10);
    expect((await prepare()).lines).toEqual(["linking"]);
    expect(statSync(shim).size).toBe(size);
    expect(statSync(libmlx).size).toBeGreaterThan(1_000_000);
  });

  test("two at once do the work once", async () => {
    const both = await Promise.all([prepare(), prepare()]);
    expect(both.map((each) => each.exitCode)).toEqual([0, 0]);
    expect(compiled(both.flatMap((each) => each.lines))).toHaveLength(3);
  });

  test("a compile error ends with a sentence, and the old library stays", async () => {
    await prepare();
    const { mtimeMs } = statSync(shim);
    writeFileSync(join(sources, "three.cpp"), "this is no C++\n");
    const failed = await prepare();
    expect(failed.exitCode).toBe(1);
    expect(failed.lines.at(-1)).toBe(`Compiling ${join(sources, "three.cpp")} failed; the compiler's messages are above.`);
    expect(statSync(shim).mtimeMs).toBe(mtimeMs);
  });
});

describe("what is lacking is said in one sentence:", () => {
  let tools: string;
  beforeEach(() => {
    tools = join(work, "tools");
    mkdirSync(tools);
    symlinkSync("/bin/sh", join(tools, "sh"));
    addTool("c++", "cat >/dev/null 2>&1; echo 'c++ 99.0'");
  });

  /** A shell script as a program; only such programs are on PATH. */
  function addTool(name: string, script: string): void {
    writeFileSync(join(tools, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(tools, name), 0o755);
  }

  async function complaint(): Promise<string> {
    const { exitCode, lines } = await prepare({ PATH: tools, CXX: "" });
    expect(exitCode).toBe(1);
    expect(lines.filter((line) => !line.startsWith("fetching"))).toHaveLength(1);
    return lines.at(-1) ?? "";
  }

  test("a compiler", async () => {
    rmSync(join(tools, "c++"));
    expect(await complaint()).toContain("needs a C++20 compiler (c++ was not found on PATH)");
  });

  test("a compiler that knows C++20", async () => {
    addTool("c++", '[ "$1" = --version ] && echo "c++ 4.8" && exit 0; exit 1');
    expect(await complaint()).toBe("The C++ compiler cannot build C++20 (c++ 4.8): please install GCC 11 or Clang 14 or newer.");
  });

  test("Python", async () => {
    expect(await complaint()).toContain("needs Python 3 with pip (python3 was not found on PATH)");
  });

  test("pip", async () => {
    addTool("python3", "echo '/usr/bin/python3: No module named pip' >&2; exit 1");
    expect(await complaint()).toContain("needs pip (python3 has no module pip)");
  });

  test("a package index", async () => {
    addTool("python3", "echo 'WARNING: Retrying' >&2; echo 'ERROR: No matching distribution found' >&2; exit 1");
    expect(await complaint()).toMatch(
      /^pip could not download \S+==\S+ \(can it reach its package index\?\): No matching distribution found$/,
    );
  });

  test("the right content of a wheel", async () => {
    addTool("python3", 'while [ "$1" != -d ]; do shift; done; echo other >"$2/some-1.0.whl"');
    expect(await complaint()).toMatch(
      /^The checksum of \S+ \S+ is [0-9a-f]{64}, not the pinned [0-9a-f]{64}: it was not used\.$/,
    );
  });
});

import { beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkSignature } from "../../src/mlx/build/code-signature.ts";
import { checkDarwin } from "../../src/mlx/build/darwin-check.ts";
import { readMachO } from "../../src/mlx/build/mach-o.ts";
import { nativeDirectory, prepareNative, ROOT } from "../../src/mlx/build/native.ts";

const NAME = process.platform === "darwin" ? "mlx-cb-serve" : "mlx-cb-serve-darwin-arm64";
const executable = join(ROOT, "dist", NAME);
const directory = nativeDirectory("darwin-arm64");

describe("the macOS executable", () => {
  let files: string[];
  beforeAll(async () => {
    const build = Bun.spawn([process.execPath, "build.ts", "executable", "--target=darwin-arm64"], {
      cwd: ROOT,
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
    });
    expect(await build.exited).toBe(0);
    files = await prepareNative("darwin-arm64");
  }, 600_000);

  test("finds every symbol, and macOS accepts its signatures", async () => {
    const report = await checkDarwin(directory, files, executable);
    expect(report.problems).toEqual([]);
    expect(report.shipped).toBeGreaterThan(20);
    expect(report.unlisted).toBeGreaterThan(50);
  });

  test("ships libmlx, the metallib and the shim, which takes the C++ library from the system", async () => {
    expect(files.toSorted()).toEqual(["mlx/lib/libmlx.dylib", "mlx/lib/libshim.dylib", "mlx/lib/mlx.metallib"]);
    const shim = await readMachO(join(directory, "mlx/lib/libshim.dylib"));
    expect(shim.installName).toBe("@rpath/libshim.dylib");
    expect(shim.rpaths).toEqual(["@loader_path"]);
    expect(shim.dependencies).toContain("@rpath/libmlx.dylib");
    // With a libc++ of its own, its catch clauses would not match libmlx's exceptions.
    const caught = shim.imports.find((symbol) => symbol.name === "__ZTISt9exception");
    expect(caught?.from).toBe("/usr/lib/libc++.1.dylib");
  });

  test("the check finds a library that is missing and a byte that was changed", async () => {
    const work = mkdtempSync(join(tmpdir(), "mlx-cb-darwin-"));
    try {
      const shimOnly = files.filter((file) => file.endsWith("libshim.dylib"));
      const alone = await checkDarwin(directory, shimOnly);
      expect(alone.problems).toContain("libshim.dylib needs @rpath/libmlx.dylib, which is neither shipped nor of the system");
      cpSync(join(directory, "mlx/lib/libshim.dylib"), join(work, "libshim.dylib"));
      const changed = await readMachO(join(work, "libshim.dylib"));
      expect(checkSignature(changed)).toBeNull();
      changed.data.writeUInt8(changed.data.readUInt8(20_000) ^ 1, 20_000);
      expect(checkSignature(changed)).toBe("has a code signature that does not fit page 1");
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  });

  test("the check finds a symbol that libmlx does not have", async () => {
    const work = mkdtempSync(join(tmpdir(), "mlx-cb-darwin-"));
    try {
      const libmlx = await readMachO(join(directory, "mlx/lib/libmlx.dylib"));
      const shim = await readMachO(join(directory, "mlx/lib/libshim.dylib"));
      const taken = shim.imports.find((symbol) => symbol.from === "@rpath/libmlx.dylib")?.name ?? "";
      expect(libmlx.exports.has(taken)).toBeTrue();
      // The shim in the place of libmlx: a sound library that has none of its symbols.
      copyFileSync(join(directory, "mlx/lib/libshim.dylib"), join(work, "libshim.dylib"));
      copyFileSync(join(directory, "mlx/lib/libshim.dylib"), join(work, "libmlx.dylib"));
      const report = await checkDarwin(work, ["libshim.dylib", "libmlx.dylib"]);
      expect(report.problems).toContain(`libshim.dylib misses ${taken} in @rpath/libmlx.dylib`);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  });
});

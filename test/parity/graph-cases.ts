/** All cases by way of MLX's own operations, as on a GPU, but computed on the CPU: `bun test ./test/parity/graph-cases.ts`. */
import { beforeAll, expect, mock, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import * as ffi from "../../src/mlx/ffi.ts";

// Before anything asks: the modules choose their operations by the device. It holds for the whole process, hence a file of its own.
mock.module("../../src/mlx/ffi.ts", () => ({ ...ffi, currentDevice: () => "gpu" }));

const { openMlx } = await import("../../src/mlx/array.ts");
const { locateNativeLibrary } = await import("../../src/mlx/library.ts");
const { checkCase } = await import("./case.ts");

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const CASES = join(import.meta.dir, "../fixtures/parity");
const directories = readdirSync(CASES, { withFileTypes: true }).filter((entry) => entry.isDirectory());

test.each(directories.map(({ name }) => name))("%s", async (name) => {
  const { max_error } = await checkCase(join(CASES, name));
  const { tolerance } = await Bun.file(join(CASES, name, "case.json")).json();
  // Unlike the CPU's, these operations compute in the type that the weights are stored in.
  expect(max_error).toBeLessThanOrEqual(tolerance.native_dtype_max_abs_diff ?? tolerance.max_abs_diff);
});

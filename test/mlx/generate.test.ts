import { expect, test } from "bun:test";
import { join } from "node:path";
import { generateCpp, generateTypeScript } from "../../src/mlx/generate.ts";

const MLX = join(import.meta.dir, "../../src/mlx");

test("the generated files are those of the table: run `bun src/mlx/generate.ts`", async () => {
  expect(await Bun.file(join(MLX, "native/ops.cpp")).text()).toBe(generateCpp());
  expect(await Bun.file(join(MLX, "ops.ts")).text()).toBe(generateTypeScript());
});

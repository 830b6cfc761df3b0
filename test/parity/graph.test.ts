import { expect, test } from "bun:test";
import { join } from "node:path";

test("what runs on a GPU gives the same numbers", async () => {
  const child = Bun.spawn([process.execPath, "test", "./test/parity/graph-cases.ts"], {
    cwd: join(import.meta.dir, "../.."),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const output = await new Response(child.stderr).text();
  expect(output.split("\n").filter((line) => line.startsWith("(fail)"))).toEqual([]);
  expect(output).toContain(" 0 fail");
  expect(await child.exited).toBe(0);
}, 120_000);

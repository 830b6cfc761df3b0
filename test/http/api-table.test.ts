import { expect, test } from "bun:test";
import { compareReadme } from "./api-table.ts";

test("README has the table of parameters as the schemas say it: `bun test/http/api-table.ts --markdown` writes it", async () => {
  const { current, expected } = await compareReadme();
  expect(current).toBe(expected);
});

/** `bun extract-process.ts GROUP.json DIRECTORY START`: extracts once the file START exists, and prints where, or the error. */
import { existsSync } from "node:fs";
import { type EmbeddedGroup, extractGroup } from "../../src/mlx/extract.ts";

const [groupFile = "", directory = "", start = ""] = process.argv.slice(2);
const group = (await Bun.file(groupFile).json()) as EmbeddedGroup;
while (!existsSync(start)) await Bun.sleep(1);
try {
  console.log(extractGroup("group", group, [directory]));
} catch (error) {
  console.log(`${error instanceof Error ? `${error.name}: ${error.message}` : error}`);
}

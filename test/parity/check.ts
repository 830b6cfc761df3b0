/**
 * `bun run parity DIR…`: checks parity cases (directories with case.json, or directories of such) and prints one JSON line
 * each: {"case", "max_error", "tolerance", "ok", "error"?}, or with `--markdown` a table. Exit code 1 when any is not ok.
 */
import { existsSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { type CaseErrors, checkCase, measureCase } from "./case.ts";
import { parityTable } from "./table.ts";

function findCases(directory: string): string[] {
  if (existsSync(join(directory, "case.json")) || !existsSync(directory)) return [directory];
  const inside = readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(directory, entry.name, "case.json")))
    .map((entry) => join(directory, entry.name));
  return inside.length > 0 ? inside.sort() : [directory];
}

const given = process.argv.slice(2).filter((argument) => argument !== "--markdown");
const markdown = given.length < process.argv.length - 2;
const directories = (given.length > 0 ? given : [join(import.meta.dir, "../fixtures/parity")]).map((d) => resolve(d));
openMlx(locateNativeLibrary(), true);
if (markdown) {
  const measured: CaseErrors[] = [];
  for (const directory of directories.flatMap(findCases)) measured.push(await measureCase(directory));
  console.log(parityTable(measured));
  process.exit(measured.every(({ errors, tolerance }) => Math.max(errors.alone, errors.ragged) <= tolerance) ? 0 : 1);
}
let failed = false;
for (const directory of directories.flatMap(findCases)) {
  try {
    const result = await checkCase(directory);
    failed ||= !result.ok;
    console.log(JSON.stringify({ ...result, max_error: Number.isFinite(result.max_error) ? result.max_error : null }));
  } catch (error) {
    failed = true;
    const message = error instanceof Error ? error.message : String(error);
    console.log(JSON.stringify({ case: basename(directory), max_error: null, tolerance: null, ok: false, error: message }));
  }
}
process.exit(failed ? 1 : 0);

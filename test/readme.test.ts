import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { helpText } from "../src/config.ts";
import { listModelTypes } from "../src/models/registry.ts";

const readme = readFileSync(join(import.meta.dir, "../README.md"), "utf8");
const cases = join(import.meta.dir, "fixtures/parity");

/** The part under a heading, up to the next one of the same level. */
function section(heading: string): string {
  const start = readme.indexOf(`\n${heading}\n`);
  expect(start).toBeGreaterThan(0);
  const level = heading.split(" ")[0]!;
  const end = readme.indexOf(`\n${level} `, start + heading.length);
  return readme.slice(start, end < 0 ? undefined : end);
}

describe("README", () => {
  test("names every model type", () => {
    const models = section("## Models");
    expect(listModelTypes().filter((type) => !new RegExp(`(?<![\\w-])${type}(?![\\w-])`).test(models))).toEqual([]);
  });

  test("names every option of the command line", () => {
    const options = `${section("## Options")}${section("## Benchmarks")}${section("## Models")}`;
    const missing = [...helpText.matchAll(/--[a-z-]+/g)].filter(([option]) => !options.includes(option));
    expect(missing.map(([option]) => option)).toEqual([]);
  });

  test("has the parity table of the cases that there are", () => {
    const table = readme.slice(readme.indexOf("<!-- parity -->"), readme.indexOf("<!-- /parity -->"));
    const names = readdirSync(cases).filter((name) => existsSync(join(cases, name, "case.json")));
    const missing = names.filter((name) => {
      const { model_type: type, about } = JSON.parse(readFileSync(join(cases, name, "case.json"), "utf8"));
      return !about || !table.includes(`| \`${type}\` | ${about} |`);
    });
    expect(missing).toEqual([]);
    expect(table.split("\n").filter((line) => line.startsWith("| `")).length).toBe(names.length);
  });
});

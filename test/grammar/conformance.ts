/** Coverage of JSON Schema, on data with valid and invalid instances. As a program: `bun test/grammar/conformance.ts [DIRECTORY]`. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { check } from "./accept.ts";

const SHARED = join(import.meta.dir, "../../../shared/conformance");
export const BENCH = join(SHARED, "jsonschemabench");
export const hasBench = existsSync(BENCH);

export interface Sample {
  name: string;
  schema: unknown;
  tests: { data: unknown; valid: boolean }[];
}

export interface Coverage {
  schemas: number;
  accepted: number;
  /** By what is said in place of the keyword. */
  refused: Map<string, string[]>;
  /** Instances of accepted schemas. */
  valid: number;
  invalid: number;
  wronglyAccepted: string[];
  wronglyRefused: string[];
}

/** What of the samples is honoured, as the instances show that are written as `JSON.stringify` does. */
export async function measureCoverage(samples: Iterable<Sample> | AsyncIterable<Sample>): Promise<Coverage> {
  const coverage: Coverage = {
    schemas: 0,
    accepted: 0,
    refused: new Map(),
    valid: 0,
    invalid: 0,
    wronglyAccepted: [],
    wronglyRefused: [],
  };
  for await (const { name, schema, tests } of samples) {
    coverage.schemas++;
    const checker = await check({ kind: "json_schema", schema });
    if ("problem" in checker && checker.problem !== "No value satisfies the schema.") {
      const keyword = /^'([^']+)'/.exec(checker.problem)?.[1] ?? checker.problem;
      coverage.refused.set(keyword, [...(coverage.refused.get(keyword) ?? []), name]);
      continue;
    }
    coverage.accepted++;
    for (const { data, valid } of tests) {
      const text = JSON.stringify(data);
      const accepted = "accepts" in checker && checker.accepts(text);
      coverage[valid ? "valid" : "invalid"]++;
      if (accepted && !valid) coverage.wronglyAccepted.push(`${name}: ${text}`);
      if (!accepted && valid) coverage.wronglyRefused.push(`${name}: ${text}`);
    }
    if ("accepts" in checker) checker.dispose();
  }
  return coverage;
}

export async function* benchSamples(directory = BENCH): AsyncGenerator<Sample> {
  for (const file of readdirSync(directory).sort()) {
    const { schema, tests } = (await Bun.file(join(directory, file)).json()) as Omit<Sample, "name">;
    yield { name: file.replace(/\.json$/, ""), schema, tests };
  }
}

/** A row of README's table. */
export function rowOf(name: string, { refused, wronglyAccepted, wronglyRefused, ...counts }: Coverage): string {
  const sorted = [...refused].sort(([a, x], [b, y]) => y.length - x.length || a.localeCompare(b));
  const keywords = sorted.map(([keyword, names]) => `\`${keyword}\` ${names.length}`).join(", ");
  const valid = `${counts.valid - wronglyRefused.length} of ${counts.valid}`;
  return `| ${name} | ${counts.accepted} of ${counts.schemas} | ${keywords} | ${valid} | ${wronglyAccepted.length} of ${counts.invalid} |`;
}

export function describeCoverage({ refused, wronglyAccepted, wronglyRefused, ...counts }: Coverage): string {
  const list = (title: string, lines: readonly string[]) => lines.map((line) => `${title}: ${line.slice(0, 200)}`);
  return [
    `${counts.accepted} of ${counts.schemas} schemas are honoured.`,
    ...[...refused].map(([keyword, names]) => `refused for ${keyword}: ${names.length} (${names.slice(0, 3).join(", ")})`),
    `${wronglyAccepted.length} of ${counts.invalid} invalid instances are accepted, ${wronglyRefused.length} of ${counts.valid} valid ones refused.`,
    ...list("wrongly accepted", wronglyAccepted),
    ...list("wrongly refused", wronglyRefused),
  ].join("\n");
}

if (import.meta.main) console.log(describeCoverage(await measureCoverage(benchSamples(process.argv[2]))));

import { expect, test } from "bun:test";
import { join } from "node:path";
import suite from "../fixtures/json-schema/draft2020-12.json" with { type: "json" };
import { benchSamples, hasBench, measureCoverage, rowOf, type Sample } from "./conformance.ts";

interface Group {
  description: string;
  schema: unknown;
  tests: { description: string; data: unknown; valid: boolean }[];
}

const readme = await Bun.file(join(import.meta.dir, "../../README.md")).text();

test("of the JSON Schema test suite nothing is wrongly accepted, and README says what is refused", async () => {
  const samples: Sample[] = Object.entries(suite as Record<string, Group[]>).flatMap(([keyword, groups]) =>
    groups.map(({ description, schema, tests }) => ({ name: `${keyword}: ${description}`, schema, tests })),
  );
  const coverage = await measureCoverage(samples);
  expect(coverage.schemas).toBeGreaterThan(280);
  expect(coverage.wronglyAccepted).toEqual([]);
  expect(readme).toContain(rowOf("JSON Schema test suite, draft 2020-12", coverage));
  // Members in another order than the schema's.
  expect(coverage.wronglyRefused.map((line) => line.split(": ")[0])).toEqual([
    ...["allOf", "allOf", "const", "dependentRequired"],
    ...["unevaluatedProperties", "unevaluatedProperties"],
  ]);
});

// The data is not part of a clone.
if (hasBench) {
  test("of all schemas of jsonschemabench nothing is wrongly accepted, and README says what is refused", async () => {
    const coverage = await measureCoverage(benchSamples());
    expect(coverage.wronglyAccepted).toEqual([]);
    expect(readme).toContain(rowOf("jsonschemabench", coverage));
  }, 120_000);
}

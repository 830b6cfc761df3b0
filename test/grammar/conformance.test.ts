import { expect, test } from "bun:test";
import suite from "../fixtures/json-schema/draft2020-12.json" with { type: "json" };
import { benchSamples, hasBench, measureCoverage, type Sample } from "./conformance.ts";

interface Group {
  description: string;
  schema: unknown;
  tests: { description: string; data: unknown; valid: boolean }[];
}

/** Keywords of which some uses are refused, with how many groups of tests. */
const REFUSED: Readonly<Record<string, number>> = {
  $dynamicRef: 2,
  $ref: 2,
  minProperties: 1,
  multipleOf: 1,
  unevaluatedItems: 15,
  unevaluatedProperties: 20,
  uniqueItems: 3,
};

test("of the JSON Schema test suite nothing is wrongly accepted, and little is refused", async () => {
  const samples: Sample[] = Object.entries(suite as Record<string, Group[]>).flatMap(([keyword, groups]) =>
    groups.map(({ description, schema, tests }) => ({ name: `${keyword}: ${description}`, schema, tests })),
  );
  const coverage = await measureCoverage(samples);
  expect(coverage.schemas).toBeGreaterThan(280);
  expect(coverage.wronglyAccepted).toEqual([]);
  expect(Object.fromEntries([...coverage.refused].map(([keyword, names]) => [keyword, names.length]))).toEqual(REFUSED);
  // Members in another order than the schema's.
  expect(coverage.wronglyRefused.map((line) => line.split(": ")[0])).toEqual(["allOf", "allOf", "const", "dependentRequired"]);
});

// The data is not part of a clone.
if (hasBench) {
  test("of all schemas of jsonschemabench nothing is wrongly accepted, and few are refused", async () => {
    const coverage = await measureCoverage(benchSamples());
    expect(coverage.wronglyAccepted).toEqual([]);
    expect(coverage.accepted).toBeGreaterThanOrEqual(645);
    expect(coverage.wronglyRefused.length).toBeLessThanOrEqual(10);
  }, 120_000);
}

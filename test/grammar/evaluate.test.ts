import { expect, test } from "bun:test";
import { EMPTY } from "../../src/grammar/automata/dfa.ts";
import { evaluate } from "../../src/grammar/schema/evaluate.ts";
import type { JsonValue } from "../../src/grammar/schema/json.ts";
import { UnsupportedSchema } from "../../src/grammar/schema/problem.ts";
import { SchemaReader } from "../../src/grammar/schema/reader.ts";
import suite from "../fixtures/json-schema/draft2020-12.json" with { type: "json" };

type Groups = Record<
  string,
  { description: string; schema: JsonValue; tests: { description: string; data: JsonValue; valid: boolean }[] }[]
>;

test("formulas say of the suite's instances what the suite says, and so do their negations", () => {
  let seen = 0;
  for (const [keyword, groups] of Object.entries(suite as unknown as Groups)) {
    // Names are checked by automata, which the reader asks for.
    if (keyword === "propertyNames") continue;
    for (const { description, schema, tests } of groups) {
      try {
        const reader = new SchemaReader(schema, () => EMPTY);
        const formula = reader.at("")!;
        for (const { data, valid } of tests) {
          seen++;
          const where = { keyword, description, data };
          expect({ ...where, valid: evaluate(reader.formulas, formula, data) }).toEqual({ ...where, valid });
          expect({ ...where, valid: !evaluate(reader.formulas, reader.formulas.not(formula), data) }).toEqual({
            ...where,
            valid,
          });
        }
      } catch (error) {
        if (!(error instanceof UnsupportedSchema)) throw error;
      }
    }
  }
  expect(seen).toBeGreaterThan(900);
});

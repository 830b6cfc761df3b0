import { beforeAll, expect, test } from "bun:test";
import { EMPTY } from "../../src/grammar/automata/dfa.ts";
import { problemOf } from "../../src/grammar/build.ts";
import { evaluate } from "../../src/grammar/schema/evaluate.ts";
import type { JsonValue } from "../../src/grammar/schema/json.ts";
import { SchemaReader } from "../../src/grammar/schema/reader.ts";
import { Prng } from "../engine/prng.ts";
import suite from "../fixtures/json-schema/draft2020-12.json" with { type: "json" };
import { Bench, tinyChatVocabulary } from "./vocabularies.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open(await tinyChatVocabulary());
});

const random = new Prng(2024);

/** Tokens drawn blindly from the masks, until the text ends. How many did. */
async function expectInstances(schema: JsonValue, rounds: number): Promise<number> {
  let ended = 0;
  try {
    const reader = new SchemaReader(schema, () => EMPTY);
    const formula = reader.at("")!;
    for (let round = 0; round < rounds; round++) {
      const text = await bench.generate({ kind: "json_schema", schema }, random, { most: 120, ending: 0.5 });
      if (text === null) continue;
      ended++;
      const satisfies = evaluate(reader.formulas, formula, JSON.parse(text) as JsonValue);
      expect({ schema, text, satisfies }).toEqual({ schema, text, satisfies: true });
    }
  } catch (error) {
    // What is refused has no instances to judge.
    if (problemOf(error) === null) throw error;
  }
  return ended;
}

test("what blind draws from the masks make satisfies the suite's schemas", async () => {
  let ended = 0;
  const groups = Object.entries(suite as unknown as Record<string, { schema: JsonValue }[]>);
  for (const [keyword, list] of groups) {
    // Checked by automata alone, or with nothing to honour.
    if (["propertyNames", "unevaluatedProperties", "unevaluatedItems", "default", "content"].includes(keyword)) continue;
    for (const { schema } of list) ended += await expectInstances(schema, 1);
  }
  expect(ended).toBeGreaterThan(130);
}, 60_000);

test("and what schemas of the usual kind ask for", async () => {
  const person = {
    type: "object",
    properties: {
      name: { type: "string", minLength: 1, maxLength: 12 },
      age: { type: "integer", minimum: 0, maximum: 130 },
      email: { type: "string", format: "email" },
      born: { type: "string", format: "date" },
      score: { type: "number", minimum: 0, exclusiveMaximum: 1, multipleOf: 0.01 },
      tags: { type: "array", items: { enum: ["a", "b", "c"] }, maxItems: 3 },
      address: {
        anyOf: [
          { type: "null" },
          {
            type: "object",
            properties: { zip: { type: "string", pattern: "^\\d{5}$" } },
            required: ["zip"],
            additionalProperties: false,
          },
        ],
      },
      friend: { $ref: "#/$defs/friend" },
    },
    required: ["name", "age", "email", "born", "score", "tags", "address"],
    additionalProperties: false,
    $defs: { friend: { oneOf: [{ type: "string", maxLength: 5 }, { $ref: "#" }] } },
  };
  expect(await expectInstances(person as unknown as JsonValue, 25)).toBeGreaterThan(5);
}, 60_000);

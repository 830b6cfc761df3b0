/** From a JSON schema to the rules of a grammar. */
import type { Dfa } from "../automata/dfa.ts";
import type { Element, Rules } from "../rules.ts";
import type { Formula } from "./formula.ts";
import type { JsonValue } from "./json.ts";
import { SchemaReader } from "./reader.ts";
import { SchemaWriter } from "./writer.ts";

/** The JSON texts whose values satisfy the schema. Throws `UnsupportedSchema`, `InvalidSchema`, `TooComplex` or `RegexProblem`. */
export function writeSchema(schema: JsonValue, rules: Rules): Element {
  const strings = (formula: Formula): Dfa => writer.stringsOf(formula);
  const reader = new SchemaReader(schema, strings);
  const writer = new SchemaWriter(reader.formulas, rules);
  const root = reader.at("")!;
  return writer.value(root);
}

/** From a JSON schema to the rules of a grammar. */
import type { Dfa } from "../automata/dfa.ts";
import type { Element, Rules } from "../rules.ts";
import type { Formula } from "./formula.ts";
import type { JsonValue } from "./json.ts";
import { SchemaReader } from "./reader.ts";
import { SchemaWriter } from "./writer.ts";

export interface SchemaGrammar {
  root: Element;
  /** Lengths that strings may not exceed and the rules do not count; never with `exact`. */
  limits: ReadonlySet<number>;
}

/**
 * The JSON texts whose values satisfy the schema. Without `exact`, strings may be longer than they should. Throws
 * `UnsupportedSchema`, `InvalidSchema`, `TooComplex` or `RegexProblem`.
 */
export function writeSchema(schema: JsonValue, rules: Rules, exact: boolean): SchemaGrammar {
  const strings = (formula: Formula): Dfa => writer.stringsOf(formula);
  const reader = new SchemaReader(schema, strings);
  const writer = new SchemaWriter(reader.formulas, rules, exact);
  const root = writer.value(reader.at("") ?? reader.formulas.false);
  return { root, limits: writer.text.limits };
}

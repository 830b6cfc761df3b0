/** What the keywords of a schema are read with. */
import type { Dfa } from "../automata/dfa.ts";
import type { Formula } from "./formula.ts";
import type { Formulas } from "./formulas.ts";
import type { JsonObject, JsonValue } from "./json.ts";
import type { Patterns } from "./patterns.ts";

/** What a keyword says, by its value, the place of the schema that it stands in, and that schema. */
export type Read = (value: JsonValue, place: string, schema: JsonObject) => Formula;

export type Keywords = Readonly<Record<string, Read>>;

export interface Reading {
  readonly formulas: Formulas;
  readonly patterns: Patterns;
  /** A schema at a place. */
  schema(value: JsonValue | undefined, place: string): Formula;
  /** The list of schemas that a keyword has as its value. */
  list(value: JsonValue, keyword: string, place: string): Formula[];
  /** What a reference in the schema at a place means. */
  follow(reference: string, place: string): { value: JsonValue | undefined; place: string };
  /** The language of the strings that satisfy a formula. */
  stringsOf(formula: Formula): Dfa;
}

/** From what is asked for to grammars that xgrammar can compile. */
import { anyOf, isEmpty, TooComplex } from "./automata/dfa.ts";
import type { GrammarSpec } from "./contract.ts";
import { textsMatched } from "./regex/language.ts";
import { RegexProblem } from "./regex/syntax.ts";
import { type Element, Rules } from "./rules.ts";
import { writeSchema } from "./schema/compile.ts";
import type { JsonValue } from "./schema/json.ts";
import { InvalidSchema, UnsupportedSchema } from "./schema/problem.ts";
import { writeEbnf } from "./text/ebnf.ts";
import { GrammarProblem } from "./text/problem.ts";
import { TagWriter } from "./text/tags.ts";

export interface BuiltGrammar {
  /** In xgrammar's EBNF, fit for masks: but strings in it may be longer than they should. */
  masking: string;
  /** The same with all lengths, fit for checking texts; null when `masking` is exact. */
  exact: string | null;
  /** The least of the lengths that `masking` leaves out. */
  shortestLimit: number;
}

/** `specials`: texts of the special tokens, by number. Throws what `problemOf` knows. */
export function buildGrammar(spec: GrammarSpec, specials: readonly string[]): BuiltGrammar {
  const masking = write(spec, specials, false);
  const limits = [...masking.limits];
  const exact = limits.length > 0 ? write(spec, specials, true).text : null;
  return { masking: masking.text, exact, shortestLimit: Math.min(...limits, Number.MAX_SAFE_INTEGER) };
}

/** The sentence for the client when the error says that a spec cannot be honoured; null for any other error. */
export function problemOf(error: unknown): string | null {
  if (error instanceof TooComplex) return `The grammar is too complex: ${error.message}.`;
  const known = [UnsupportedSchema, InvalidSchema, RegexProblem, GrammarProblem].some((kind) => error instanceof kind);
  return known ? (error as Error).message : null;
}

function write(spec: GrammarSpec, specials: readonly string[], exact: boolean): { text: string; limits: Set<number> } {
  const rules = new Rules();
  const limits = new Set<number>();
  const schema = (value: JsonValue): Element => {
    const written = writeSchema(value, rules, exact);
    for (const limit of written.limits) limits.add(limit);
    return written.root;
  };
  const root = rules.set("start", [[writeRoot(spec, rules, specials, schema)]]);
  const text = rules.print(root);
  if (text === null) throw new GrammarProblem(nothingFits(spec.kind));
  return { text, limits };
}

function writeRoot(spec: GrammarSpec, rules: Rules, specials: readonly string[], schema: (value: JsonValue) => Element): Element {
  switch (spec.kind) {
    case "json_object":
      return schema({ type: "object" });
    case "json_schema":
      return schema(spec.schema as JsonValue);
    case "regex": {
      const dfa = textsMatched(spec.pattern);
      if (isEmpty(dfa)) throw new GrammarProblem(nothingFits("regex"));
      return { rule: rules.automaton(dfa, [], (chars) => rules.chars(chars)) };
    }
    case "choice":
      return {
        rule: rules.automaton(anyOf(spec.choices.map((choice) => choice.toWellFormed())), [], (chars) => rules.chars(chars)),
      };
    case "ebnf":
      return writeEbnf(spec.text, rules);
    case "structural_tag":
      return new TagWriter({ rules, specials, schema }).write(spec.format);
  }
}

function nothingFits(kind: GrammarSpec["kind"]): string {
  const names: Record<GrammarSpec["kind"], string> = {
    json_object: "No object",
    json_schema: "No value satisfies the schema",
    regex: "No text matches the pattern",
    choice: "There is nothing to choose from",
    ebnf: "The grammar has no text that ends",
    structural_tag: "The structural tag has no text that ends",
  };
  return `${names[kind]}.`;
}

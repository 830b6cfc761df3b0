/** From formulas to rules: the grammar of the JSON texts whose values satisfy a schema. */
import { type Dfa, isEmpty as isEmptyLanguage, isEverything, TooComplex } from "../automata/dfa.ts";
import type { Alternative, Element, Rules } from "../rules.ts";
import { writeArray } from "./array-writer.ts";
import { type ArrayShape, arrayShapes } from "./arrays.ts";
import { evaluate } from "./evaluate.ts";
import type { Formula } from "./formula.ts";
import type { Formulas } from "./formulas.ts";
import { JSON_TYPES, type JsonType, type JsonValue } from "./json.ts";
import { JsonText, writeInString } from "./json-text.ts";
import { writeObject } from "./object-writer.ts";
import { type Inquiry, type ObjectShape, objectShapes } from "./objects.ts";
import { UnsupportedSchema } from "./problem.ts";
import { numberLanguage, type TextPart, textLanguage, textParts } from "./scalars.ts";
import { type Specialized, Specializer } from "./specialize.ts";

export class SchemaWriter implements Inquiry {
  readonly formulas: Formulas;
  readonly rules: Rules;
  readonly text: JsonText;
  readonly #special: Specializer;
  readonly #values = new Map<Formula, string>();
  readonly #empty = new Map<Formula, boolean>();
  readonly #asking = new Set<Formula>();
  readonly #texts = new Map<Dfa, Element>();
  readonly #numbers = new Map<Dfa, Element>();
  readonly #strings = new Map<Specialized, TextPart[]>();
  readonly #objects = new Map<Specialized, ObjectShape[]>();
  readonly #arrays = new Map<Specialized, ArrayShape[]>();

  /** `exact`: see `JsonText`. */
  constructor(formulas: Formulas, rules: Rules, exact: boolean) {
    this.formulas = formulas;
    this.rules = rules;
    this.text = new JsonText(rules, exact);
    this.#special = new Specializer(formulas);
  }

  /** The rule of the values that satisfy a formula. Throws `UnsupportedSchema`, `TooComplex` or `RegexProblem`. */
  value(formula: Formula): Element {
    const known = this.#values.get(formula);
    if (known !== undefined) return { rule: known };
    const name = this.rules.name("v");
    this.#values.set(formula, name);
    this.rules.set(name, []);
    this.rules.set(
      name,
      JSON_TYPES.flatMap((type) => this.#alternatives(formula, type)),
    );
    return { rule: name };
  }

  /** Languages of strings, and of the keys that are not wanted. */
  stringsOf(formula: Formula): Dfa {
    return textLanguage(this.#special.for(formula, "string"), this.formulas.patterns);
  }

  isEmpty(formula: Formula): boolean {
    const known = this.#empty.get(formula);
    if (known !== undefined) return known;
    // One that contains itself is taken to have values; whether it has is seen by its rules.
    if (this.#asking.has(formula)) return false;
    this.#asking.add(formula);
    const result = JSON_TYPES.every((type) => this.#hasNone(this.#special.for(formula, type), type));
    this.#asking.delete(formula);
    this.#empty.set(formula, result);
    return result;
  }

  /** The values that satisfy a formula, where they are listed; null where they are not. */
  listed(formula: Formula): JsonValue[] | null {
    const found: JsonValue[] = [];
    for (const type of JSON_TYPES) {
      const f = this.#special.for(formula, type);
      if (this.#hasNone(f, type)) continue;
      if (type === "null" || type === "boolean") found.push(...this.#few(f, type));
      else if (f.kind === "values" && !f.negated) found.push(...f.values);
      else return null;
    }
    return found;
  }

  negate(formula: Specialized, type: JsonType): Specialized {
    return this.#special.for(this.formulas.not(formula), type);
  }

  #hasNone(f: Specialized, type: JsonType): boolean {
    if (f.kind === "false") return true;
    if (f.kind === "true") return false;
    switch (type) {
      case "string":
        return this.#textParts(f).length === 0;
      case "number":
        return isEmptyLanguage(numbers(f));
      case "object":
        return this.#objectShapes(f).length === 0;
      case "array":
        return this.#arrayShapes(f).length === 0;
      case "null":
      case "boolean":
        return this.#few(f, type).length === 0;
    }
  }

  #few(f: Specialized, type: "null" | "boolean"): JsonValue[] {
    return (type === "null" ? [null] : [true, false]).filter((value) => evaluate(this.formulas, f, value));
  }

  #alternatives(formula: Formula, type: JsonType): Alternative[] {
    const f = this.#special.for(formula, type);
    if (f.kind === "false") return [];
    switch (type) {
      case "null":
      case "boolean":
        return this.#few(f, type).map((value) => [{ text: String(value) }]);
      case "number":
        return [[this.#number(numbers(f))]];
      case "string":
        return this.#text(f);
      case "array":
        return this.#arrayShapes(f).map((shape) => writeArray(shape, this));
      case "object":
        return this.#objectShapes(f).map((shape) => writeObject(shape, this));
    }
  }

  #text(f: Specialized): Alternative[] {
    return this.#textParts(f).map(({ dfa, least, most }) => {
      const rest = dfa === null ? this.text.textOf(least, most) : this.#rest(dfa);
      return [{ text: '"' }, rest];
    });
  }

  /** A key of a language, the colon, and the gap after it. */
  key(keys: Dfa): Alternative {
    return [{ text: '"' }, isEverything(keys) ? this.text.anyText : this.#rest(keys), { text: ":" }, this.text.gap];
  }

  #textParts(f: Specialized): TextPart[] {
    return remembered(this.#strings, f, () =>
      simple(f.kind === "values" ? "enum" : "pattern", () => textParts(f, this.formulas.patterns)),
    );
  }

  #objectShapes(f: Specialized): ObjectShape[] {
    return remembered(this.#objects, f, () => objectShapes(f, this));
  }

  #arrayShapes(f: Specialized): ArrayShape[] {
    return remembered(this.#arrays, f, () => arrayShapes(f, this));
  }

  /** The rest of a string of a language, with the closing quote. */
  #rest(dfa: Dfa): Element {
    return remembered(this.#texts, dfa, () => ({
      rule: this.rules.automaton(dfa, [{ text: '"' }], (chars) => writeInString(chars, this.rules)),
    }));
  }

  #number(dfa: Dfa): Element {
    return remembered(this.#numbers, dfa, () => ({ rule: this.rules.automaton(dfa, [], (chars) => this.rules.chars(chars)) }));
  }
}

const numbers = (f: Specialized): Dfa => simple("multipleOf", () => numberLanguage(f));

/** Says which keyword asks for what is beyond automata. */
function simple<T>(keyword: string, build: () => T): T {
  try {
    return build();
  } catch (error) {
    if (!(error instanceof TooComplex)) throw error;
    throw new UnsupportedSchema(keyword, error.message);
  }
}

function remembered<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  let value = known.get(key);
  if (value === undefined) {
    value = make();
    known.set(key, value);
  }
  return value;
}

/** From the text of a schema to formulas. What cannot be honoured is refused here, by keyword; what says nothing is passed over. */
import type { Dfa } from "../automata/dfa.ts";
import { arrayKeywords } from "./array-keywords.ts";
import type { Formula } from "./formula.ts";
import { Formulas } from "./formulas.ts";
import { isObject, type JsonObject, type JsonValue } from "./json.ts";
import { list, text, unsupported } from "./keyword-values.ts";
import { objectKeywords } from "./object-keywords.ts";
import { Patterns } from "./patterns.ts";
import { Places, step } from "./places.ts";
import { InvalidSchema } from "./problem.ts";
import type { Keywords, Read, Reading } from "./reading.ts";
import { scalarKeywords } from "./scalar-keywords.ts";

export class SchemaReader implements Reading {
  readonly formulas: Formulas;
  readonly patterns = new Patterns();
  readonly stringsOf: (formula: Formula) => Dfa;
  readonly #places: Places;
  readonly #read = new Map<string, Formula>();
  readonly #reading = new Set<string>();
  readonly #keywords: Readonly<Record<string, Read | undefined>>;

  /** `stringsOf` is needed for `propertyNames`. */
  constructor(root: JsonValue, stringsOf: (formula: Formula) => Dfa) {
    this.#places = new Places(root);
    this.stringsOf = stringsOf;
    this.formulas = new Formulas((place) => this.at(place), this.patterns);
    const keywords = { ...this.#logic, ...scalarKeywords(this), ...objectKeywords(this), ...arrayKeywords(this) };
    // Names such as `constructor` are none.
    this.#keywords = Object.assign(Object.create(null), keywords);
  }

  /** What stands at a place; null while it is being read itself. Throws `UnsupportedSchema` or `InvalidSchema`. */
  at(place: string): Formula | null {
    const known = this.#read.get(place);
    if (known) return known;
    if (this.#reading.has(place)) return null;
    this.#reading.add(place);
    const formula = this.schema(this.#places.at(place), place);
    this.#reading.delete(place);
    this.#read.set(place, formula);
    return formula;
  }

  schema(value: JsonValue | undefined, place: string): Formula {
    if (value === true) return this.formulas.true;
    if (value === false) return this.formulas.false;
    if (!isObject(value)) throw new InvalidSchema(`The schema at '${place || "#"}' is neither an object nor a boolean.`);
    const parts = Object.entries(value).flatMap(([keyword, inner]) => {
      const read = this.#keywords[keyword];
      return read ? [read(inner, place, value)] : [];
    });
    return this.formulas.and(...parts);
  }

  list(value: JsonValue, keyword: string, place: string): Formula[] {
    const schemas = list(value, keyword, place);
    return schemas.map((schema, i) => this.schema(schema, step(step(place, keyword), `${i}`)));
  }

  follow(reference: string, from: string): { value: JsonValue | undefined; place: string } {
    const place = this.#places.resolve(reference, from);
    return { value: this.#places.at(place), place };
  }

  readonly #logic: Keywords = {
    $ref: (value, place) => this.formulas.reference(this.#places.resolve(text(value, "$ref", place), place)),
    allOf: (value, place) => this.formulas.and(...this.list(value, "allOf", place)),
    anyOf: (value, place) => this.formulas.or(...this.list(value, "anyOf", place)),
    oneOf: (value, place) => this.#oneOf(this.list(value, "oneOf", place)),
    not: (value, place) => this.formulas.not(this.schema(value, step(place, "not"))),
    if: (value, place, schema) => this.#condition(value, place, schema),

    $dynamicRef: (_, place) => unsupported("$dynamicRef", "only $ref is followed", place),
    $recursiveRef: (_, place) => unsupported("$recursiveRef", "only $ref is followed", place),
    extends: (_, place) => unsupported("extends", "it is of draft 3", place),
    disallow: (_, place) => unsupported("disallow", "it is of draft 3", place),
  };

  #oneOf(options: readonly Formula[]): Formula {
    const { formulas } = this;
    return formulas.or(
      ...options.map((option, i) => {
        const others = options.filter((_, j) => j !== i);
        return formulas.and(option, ...others.map((other) => formulas.not(other)));
      }),
    );
  }

  #condition(value: JsonValue, place: string, schema: JsonObject): Formula {
    const { formulas } = this;
    const branch = (keyword: "then" | "else") =>
      schema[keyword] === undefined ? formulas.true : this.schema(schema[keyword], step(place, keyword));
    const test = this.schema(value, step(place, "if"));
    return formulas.and(formulas.or(formulas.not(test), branch("then")), formulas.or(test, branch("else")));
  }
}

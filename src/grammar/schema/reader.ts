/** From the text of a schema to formulas. What cannot be honoured is refused here, by keyword; what says nothing is passed over. */
import type { Dfa } from "../automata/dfa.ts";
import { formatPattern } from "./formats.ts";
import type { Formula } from "./formula.ts";
import { Formulas } from "./formulas.ts";
import { isObject, JSON_TYPES, type JsonObject, type JsonType, type JsonValue } from "./json.ts";
import { KeySet } from "./key-set.ts";
import { count, entries, list, number, strings, text, unsupported, within } from "./keyword-values.ts";
import { Patterns } from "./patterns.ts";
import { Places, step } from "./places.ts";
import { InvalidSchema } from "./problem.ts";

type Read = (value: JsonValue, place: string, schema: JsonObject) => Formula;

export class SchemaReader {
  readonly formulas: Formulas;
  readonly patterns = new Patterns();
  readonly #places: Places;
  readonly #read = new Map<string, Formula>();
  readonly #reading = new Set<string>();
  /** The language of the strings that satisfy a formula, for `propertyNames`. */
  readonly #stringsOf: (formula: Formula) => Dfa;

  constructor(root: JsonValue, stringsOf: (formula: Formula) => Dfa) {
    this.#places = new Places(root);
    this.#stringsOf = stringsOf;
    this.formulas = new Formulas((place) => this.at(place), this.patterns);
  }

  /** What stands at a place; null while it is being read itself. Throws `UnsupportedSchema` or `InvalidSchema`. */
  at(place: string): Formula | null {
    const known = this.#read.get(place);
    if (known) return known;
    if (this.#reading.has(place)) return null;
    this.#reading.add(place);
    const formula = this.#schema(this.#places.at(place), place);
    this.#reading.delete(place);
    this.#read.set(place, formula);
    return formula;
  }

  #schema(value: JsonValue | undefined, place: string): Formula {
    if (value === true) return this.formulas.true;
    if (value === false) return this.formulas.false;
    if (!isObject(value)) throw new InvalidSchema(`The schema at '${place || "#"}' is neither an object nor a boolean.`);
    const parts = Object.entries(value).flatMap(([keyword, inner]) => {
      const read = this.#keywords[keyword];
      return read ? [read(inner, place, value)] : [];
    });
    return this.formulas.and(...parts);
  }

  readonly #keywords: Readonly<Record<string, Read | undefined>> = Object.assign(Object.create(null), {
    type: (value, place) => this.#types(value, place),
    enum: (value, place) => this.formulas.values(list(value, "enum", place)),
    const: (value) => this.formulas.values([value]),
    $ref: (value, place) => this.formulas.reference(this.#places.resolve(text(value, "$ref", place), place)),

    allOf: (value, place) => this.formulas.and(...this.#list(value, "allOf", place)),
    anyOf: (value, place) => this.formulas.or(...this.#list(value, "anyOf", place)),
    oneOf: (value, place) => this.#oneOf(this.#list(value, "oneOf", place)),
    not: (value, place) => this.formulas.not(this.#schema(value, step(place, "not"))),
    if: (value, place, schema) => this.#condition(value, place, schema),

    pattern: (value, place) => this.#pattern(text(value, "pattern", place), place),
    format: (value, place) => this.#format(value, place),
    minLength: (value, place) => this.#range("length", count(value, "minLength", place), null),
    maxLength: (value, place) => this.#range("length", 0, count(value, "maxLength", place)),

    minimum: (value, place, { exclusiveMinimum }) => this.#bound(exclusiveMinimum === true ? ">" : ">=", value, "minimum", place),
    maximum: (value, place, { exclusiveMaximum }) => this.#bound(exclusiveMaximum === true ? "<" : "<=", value, "maximum", place),
    // In draft 4 these were booleans beside the bounds.
    exclusiveMinimum: (value, place) =>
      typeof value === "boolean" ? this.formulas.true : this.#bound(">", value, "exclusiveMinimum", place),
    exclusiveMaximum: (value, place) =>
      typeof value === "boolean" ? this.formulas.true : this.#bound("<", value, "exclusiveMaximum", place),
    multipleOf: (value, place) => this.#multiple(value, place),

    properties: (value, place) => this.#properties(value, place),
    patternProperties: (value, place) => this.#patternProperties(value, place),
    additionalProperties: (value, place, schema) => this.#additional(value, place, schema),
    propertyNames: (value, place) => this.#propertyNames(value, place),
    required: (value, place) => this.#required(strings(value, "required", place)),
    minProperties: (value, place) => this.#range("properties", count(value, "minProperties", place), null),
    maxProperties: (value, place) => this.#range("properties", 0, count(value, "maxProperties", place)),
    dependencies: (value, place) => this.#dependencies(value, "dependencies", place),
    dependentRequired: (value, place) => this.#dependencies(value, "dependentRequired", place),
    dependentSchemas: (value, place) => this.#dependencies(value, "dependentSchemas", place),
    unevaluatedProperties: (value, place, schema) => this.#unevaluated(value, "unevaluatedProperties", place, schema),

    prefixItems: (value, place) => this.#tuple(this.#list(value, "prefixItems", place)),
    items: (value, place, schema) => this.#items(value, place, schema),
    additionalItems: (value, place, { items }) => {
      return Array.isArray(items) ? this.#itemsFrom(items.length, value, step(place, "additionalItems")) : this.formulas.true;
    },
    contains: (value, place, schema) => this.#contains(value, place, schema),
    minItems: (value, place) => this.#range("size", count(value, "minItems", place), null),
    maxItems: (value, place) => this.#range("size", 0, count(value, "maxItems", place)),
    uniqueItems: (value, place) => {
      return value === true ? this.formulas.condition({ kind: "unique", negated: false, place }) : this.formulas.true;
    },
    unevaluatedItems: (value, place, schema) => this.#unevaluated(value, "unevaluatedItems", place, schema),

    $dynamicRef: (_, place) => unsupported("$dynamicRef", "only $ref is followed", place),
    $recursiveRef: (_, place) => unsupported("$recursiveRef", "only $ref is followed", place),
    extends: (_, place) => unsupported("extends", "it is of draft 3", place),
    disallow: (_, place) => unsupported("disallow", "it is of draft 3", place),
    divisibleBy: (_, place) => unsupported("divisibleBy", "it is of draft 3", place),
  } satisfies Record<string, Read>);

  #list(value: JsonValue, keyword: string, place: string): Formula[] {
    const schemas = list(value, keyword, place);
    return schemas.map((schema, i) => this.#schema(schema, step(step(place, keyword), `${i}`)));
  }

  #types(value: JsonValue, place: string): Formula {
    const names = Array.isArray(value) ? strings(value, "type", place) : [text(value, "type", place)];
    const wrong = names.find((name) => name !== "integer" && !JSON_TYPES.includes(name as JsonType));
    if (wrong !== undefined) throw new InvalidSchema(`${JSON.stringify(wrong)} at '${place || "#"}' is no type of JSON Schema.`);
    const types = this.formulas.types(names.filter((name) => name !== "integer") as JsonType[]);
    if (!names.includes("integer") || names.includes("number")) return types;
    const integer = this.formulas.condition({ kind: "integer", negated: false });
    return this.formulas.or(types, this.formulas.and(this.formulas.types(["number"]), integer));
  }

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
      schema[keyword] === undefined ? formulas.true : this.#schema(schema[keyword], step(place, keyword));
    const test = this.#schema(value, step(place, "if"));
    return formulas.and(formulas.or(formulas.not(test), branch("then")), formulas.or(test, branch("else")));
  }

  #pattern(pattern: string, place: string): Formula {
    // Whether it can be understood is seen now, where its place is known.
    within("pattern", place, () => this.patterns.get(pattern));
    return this.formulas.condition({ kind: "pattern", pattern, whole: false, negated: false });
  }

  #format(value: JsonValue, place: string): Formula {
    const pattern = typeof value === "string" ? formatPattern(value) : null;
    if (pattern === null) return this.formulas.true;
    if (pattern === undefined) return unsupported("format", `there is no grammar for ${JSON.stringify(value)}`, place);
    return this.formulas.condition({ kind: "pattern", pattern, whole: true, negated: false });
  }

  #range(kind: "length" | "properties" | "size", least: number, most: number | null): Formula {
    return least === 0 && most === null ? this.formulas.true : this.formulas.condition({ kind, least, most });
  }

  #bound(relation: "<" | "<=" | ">" | ">=", value: JsonValue, keyword: string, place: string): Formula {
    return this.formulas.condition({ kind: "bound", at: number(value, keyword, place), relation });
  }

  #multiple(value: JsonValue, place: string): Formula {
    const of = number(value, "multipleOf", place);
    if (of <= 0) throw new InvalidSchema(`'multipleOf' at '${place || "#"}' must be above 0.`);
    return this.formulas.condition({ kind: "multiple", of, negated: false });
  }

  #properties(value: JsonValue, place: string): Formula {
    const at = step(place, "properties");
    const every = entries(value, "properties", place).map(([name, schema]) => {
      return this.formulas.condition({ kind: "every", keys: KeySet.of([name]), value: this.#schema(schema, step(at, name)) });
    });
    return this.formulas.and(...every);
  }

  #patternProperties(value: JsonValue, place: string): Formula {
    const at = step(place, "patternProperties");
    const every = entries(value, "patternProperties", place).map(([pattern, schema]) => {
      within("patternProperties", place, () => this.patterns.get(pattern));
      const keys = KeySet.matching(pattern, this.patterns);
      return this.formulas.condition({ kind: "every", keys, value: this.#schema(schema, step(at, pattern)) });
    });
    return this.formulas.and(...every);
  }

  #additional(value: JsonValue, place: string, { properties, patternProperties }: JsonObject): Formula {
    const names = isObject(properties) ? Object.keys(properties) : [];
    const sources = isObject(patternProperties) ? Object.keys(patternProperties) : [];
    const keys = KeySet.otherThan(names, sources, this.patterns);
    return this.formulas.condition({ kind: "every", keys, value: this.#schema(value, step(place, "additionalProperties")) });
  }

  #propertyNames(value: JsonValue, place: string): Formula {
    const at = step(place, "propertyNames");
    const names = this.#schema(value, at);
    if (names === this.formulas.true) return names;
    const refused = this.formulas.not(names);
    const keys = new KeySet(`names ${refused.id}`, null, () => within("propertyNames", place, () => this.#stringsOf(refused)));
    return this.formulas.condition({ kind: "every", keys, value: this.formulas.false });
  }

  #required(names: readonly string[]): Formula {
    const { formulas } = this;
    return formulas.and(
      ...names.map((name) => formulas.condition({ kind: "some", keys: KeySet.of([name]), value: formulas.true })),
    );
  }

  #dependencies(value: JsonValue, keyword: string, place: string): Formula {
    const { formulas } = this;
    const parts = entries(value, keyword, place).map(([name, dependency]) => {
      const at = step(step(place, keyword), name);
      const needs =
        Array.isArray(dependency) || typeof dependency === "string"
          ? this.#required(typeof dependency === "string" ? [dependency] : strings(dependency, keyword, place))
          : this.#schema(dependency, at);
      const absent = formulas.condition({ kind: "every", keys: KeySet.of([name]), value: formulas.false });
      return formulas.or(
        formulas.and(formulas.types(["object"]), absent),
        formulas.types(["null", "boolean", "number", "string", "array"]),
        needs,
      );
    });
    return formulas.and(...parts);
  }

  #tuple(schemas: readonly Formula[]): Formula {
    return this.formulas.and(...schemas.map((value, i) => this.formulas.condition({ kind: "items", from: i, to: i + 1, value })));
  }

  #items(value: JsonValue, place: string, { prefixItems }: JsonObject): Formula {
    if (Array.isArray(value)) return this.#tuple(this.#list(value, "items", place));
    return this.#itemsFrom(Array.isArray(prefixItems) ? prefixItems.length : 0, value, step(place, "items"));
  }

  #itemsFrom(from: number, value: JsonValue, place: string): Formula {
    return this.formulas.condition({ kind: "items", from, to: null, value: this.#schema(value, place) });
  }

  #contains(inner: JsonValue, place: string, { minContains, maxContains }: JsonObject): Formula {
    const { formulas } = this;
    const value = this.#schema(inner, step(place, "contains"));
    const least = minContains === undefined ? 1 : count(minContains, "minContains", place);
    const enough = least === 0 ? formulas.true : formulas.condition({ kind: "least", count: least, from: 0, to: null, value });
    if (maxContains === undefined) return enough;
    return formulas.and(enough, formulas.condition({ kind: "most", count: count(maxContains, "maxContains", place), value }));
  }

  /** Beside nothing that applies other schemas to the same value, it is what `additionalProperties` and `items` are. */
  #unevaluated(
    value: JsonValue,
    keyword: "unevaluatedProperties" | "unevaluatedItems",
    place: string,
    schema: JsonObject,
  ): Formula {
    if (value === true) return this.formulas.true;
    const others = ["$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "dependencies", "contains"];
    const other = others.find((name) => schema[name] !== undefined);
    if (other) return unsupported(keyword, `beside '${other}'`, place);
    const own = keyword === "unevaluatedProperties" ? ["additionalProperties"] : ["items", "additionalItems"];
    if (keyword === "unevaluatedItems" && Array.isArray(schema.items) && schema.additionalItems === undefined) {
      return this.#itemsFrom(schema.items.length, value, step(place, keyword));
    }
    if (own.some((name) => schema[name] !== undefined)) return this.formulas.true;
    if (keyword === "unevaluatedProperties") {
      const names = isObject(schema.properties) ? Object.keys(schema.properties) : [];
      const sources = isObject(schema.patternProperties) ? Object.keys(schema.patternProperties) : [];
      const keys = KeySet.otherThan(names, sources, this.patterns);
      return this.formulas.condition({ kind: "every", keys, value: this.#schema(value, step(place, keyword)) });
    }
    const from = Array.isArray(schema.prefixItems) ? schema.prefixItems.length : 0;
    return this.#itemsFrom(from, value, step(place, keyword));
  }
}

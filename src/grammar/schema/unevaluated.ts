/**
 * `unevaluatedProperties` and `unevaluatedItems`: what no keyword beside them speaks of, nor any in a subschema that holds for
 * the same value. Which of those hold differs from value to value, so there is one case for each set of them; in the case of a
 * smaller set than hold, less is allowed and nothing wrong.
 */
import type { Formula } from "./formula.ts";
import { isObject, type JsonObject, type JsonValue } from "./json.ts";
import { KeySet } from "./key-set.ts";
import { unsupported } from "./keyword-values.ts";
import { step } from "./places.ts";
import type { Reading } from "./reading.ts";

/** What is spoken of where a formula holds. */
interface Case {
  when: Formula;
  /** Properties by name, and by pattern. */
  names: readonly string[];
  sources: readonly string[];
  allProperties: boolean;
  /** Items below this place, and those that satisfy a formula. */
  below: number;
  matching: readonly Formula[];
}

const MAX_CASES = 32;

type Keyword = "unevaluatedProperties" | "unevaluatedItems";

/** Throws `UnsupportedSchema` for references in circles and for too many cases. */
export function readUnevaluated(
  reading: Reading,
  keyword: Keyword,
  value: JsonValue,
  place: string,
  schema: JsonObject,
): Formula {
  const { formulas, patterns } = reading;
  const rest = reading.schema(value, step(place, keyword));
  const { [keyword]: _, ...beside } = schema;
  const cases = new Cases(reading, keyword, place).of(beside, place);
  return formulas.or(
    ...cases.map(({ when, names, sources, allProperties, below, matching }) => {
      if (keyword === "unevaluatedItems") {
        if (below === Number.POSITIVE_INFINITY) return when;
        const item = formulas.or(rest, ...matching);
        return formulas.and(when, formulas.condition({ kind: "items", from: below, to: null, value: item }));
      }
      if (allProperties) return when;
      const keys = KeySet.otherThan([...new Set(names)], [...new Set(sources)], patterns);
      return formulas.and(when, formulas.condition({ kind: "every", keys, value: rest }));
    }),
  );
}

class Cases {
  readonly #reading: Reading;
  readonly #keyword: Keyword;
  readonly #place: string;
  readonly #nothing: Case;
  readonly #open = new Set<string>();

  constructor(reading: Reading, keyword: Keyword, place: string) {
    this.#reading = reading;
    this.#keyword = keyword;
    this.#place = place;
    const { true: when } = reading.formulas;
    this.#nothing = { when, names: [], sources: [], allProperties: false, below: 0, matching: [] };
  }

  of(schema: JsonValue | undefined, place: string): Case[] {
    if (!isObject(schema)) return [this.#nothing];
    if (this.#open.has(place)) return unsupported(this.#keyword, "beside references in circles", this.#place);
    this.#open.add(place);
    const { $ref, if: test, allOf, anyOf, oneOf, dependentSchemas } = schema;
    const at = (keyword: string) => step(place, keyword);
    const listed = (list: JsonValue | undefined, keyword: string): [JsonValue, string][] =>
      Array.isArray(list) ? list.map((one, i) => [one, step(at(keyword), `${i}`)]) : [];
    let cases = [this.#own(schema, place)];
    if (typeof $ref === "string") {
      const target = this.#reading.follow($ref, place);
      cases = this.#both(cases, this.of(target.value, target.place));
    }
    for (const [one, where] of listed(allOf, "allOf")) cases = this.#both(cases, this.of(one, where));
    for (const [one, where] of listed(anyOf, "anyOf")) cases = this.#both(cases, [this.#nothing, ...this.#where(one, where)]);
    const single = listed(oneOf, "oneOf").flatMap(([one, where]) => this.#where(one, where));
    cases = this.#both(cases, [this.#nothing, ...single]);
    if (test !== undefined) cases = this.#both(cases, this.#condition(schema, test, at));
    for (const [name, one] of isObject(dependentSchemas) ? Object.entries(dependentSchemas) : []) {
      const there = this.#reading.schema({ required: [name] }, place);
      const depending = this.#where(one, step(at("dependentSchemas"), name), there);
      cases = this.#both(cases, [this.#nothing, ...depending]);
    }
    this.#open.delete(place);
    return cases;
  }

  #own(schema: JsonObject, place: string): Case {
    const { properties, patternProperties, prefixItems, items, contains } = schema;
    const keys = (value: JsonValue | undefined) => (isObject(value) ? Object.keys(value) : []);
    const first = Array.isArray(items) ? items : prefixItems;
    // `additionalItems` says nothing but beside a list.
    const hasRest = Array.isArray(items) ? schema.additionalItems !== undefined : items !== undefined;
    return {
      ...this.#nothing,
      names: keys(properties),
      sources: keys(patternProperties),
      allProperties: schema.additionalProperties !== undefined || schema.unevaluatedProperties !== undefined,
      below:
        hasRest || schema.unevaluatedItems !== undefined ? Number.POSITIVE_INFINITY : Array.isArray(first) ? first.length : 0,
      matching: contains === undefined ? [] : [this.#reading.schema(contains, step(place, "contains"))],
    };
  }

  /** What a subschema speaks of, where it and `also` hold; no case when that is nothing. */
  #where(schema: JsonValue | undefined, place: string, also = this.#reading.formulas.true): Case[] {
    if (schema === undefined) return [];
    const cases = this.of(schema, place).filter((one) => this.#says(one));
    if (cases.length === 0) return [];
    const holds = this.#reading.formulas.and(also, this.#reading.schema(schema, place));
    return cases.map((one) => ({ ...one, when: this.#reading.formulas.and(holds, one.when) }));
  }

  #condition(schema: JsonObject, test: JsonValue, at: (keyword: string) => string): Case[] {
    const { formulas } = this.#reading;
    const holds = this.#reading.schema(test, at("if"));
    const tested = this.of(test, at("if")).map((one) => ({ ...one, when: formulas.and(holds, one.when) }));
    const passed = this.#both(tested, [this.#nothing, ...this.#where(schema.then, at("then"))]);
    const failed = this.#where(schema.else, at("else"), formulas.not(holds));
    return [this.#nothing, ...passed.filter((one) => this.#says(one)), ...failed];
  }

  #says({ names, sources, allProperties, below, matching }: Case): boolean {
    if (this.#keyword === "unevaluatedItems") return below > 0 || matching.length > 0;
    return allProperties || names.length > 0 || sources.length > 0;
  }

  #both(some: readonly Case[], others: readonly Case[]): Case[] {
    if (some.length * others.length > MAX_CASES) unsupported(this.#keyword, "beside too many alternatives", this.#place);
    return some.flatMap((a) =>
      others.map((b) => ({
        when: this.#reading.formulas.and(a.when, b.when),
        names: [...a.names, ...b.names],
        sources: [...a.sources, ...b.sources],
        allProperties: a.allProperties || b.allProperties,
        below: Math.max(a.below, b.below),
        matching: [...a.matching, ...b.matching],
      })),
    );
  }
}

/** Keywords for arrays. */
import type { Formula } from "./formula.ts";
import type { JsonObject, JsonValue } from "./json.ts";
import { count } from "./keyword-values.ts";
import { step } from "./places.ts";
import type { Keywords, Reading } from "./reading.ts";
import { readUnevaluated } from "./unevaluated.ts";

export function arrayKeywords(reading: Reading): Keywords {
  const { formulas } = reading;

  const range = (least: number, most: number | null): Formula => {
    return least === 0 && most === null ? formulas.true : formulas.condition({ kind: "size", least, most });
  };

  const tuple = (schemas: readonly Formula[]): Formula => {
    return formulas.and(...schemas.map((value, i) => formulas.condition({ kind: "items", from: i, to: i + 1, value })));
  };

  const itemsFrom = (from: number, value: JsonValue, place: string): Formula => {
    return formulas.condition({ kind: "items", from, to: null, value: reading.schema(value, place) });
  };

  const contains = (inner: JsonValue, place: string, { minContains, maxContains }: JsonObject): Formula => {
    const value = reading.schema(inner, step(place, "contains"));
    const least = minContains === undefined ? 1 : count(minContains, "minContains", place);
    const enough = least === 0 ? formulas.true : formulas.condition({ kind: "least", count: least, from: 0, to: null, value });
    if (maxContains === undefined) return enough;
    return formulas.and(enough, formulas.condition({ kind: "most", count: count(maxContains, "maxContains", place), value }));
  };

  return {
    prefixItems: (value, place) => tuple(reading.list(value, "prefixItems", place)),
    items: (value, place, { prefixItems }) => {
      if (Array.isArray(value)) return tuple(reading.list(value, "items", place));
      return itemsFrom(lengthOf(prefixItems), value, step(place, "items"));
    },
    additionalItems: (value, place, { items }) => {
      return Array.isArray(items) ? itemsFrom(items.length, value, step(place, "additionalItems")) : formulas.true;
    },
    contains,
    minItems: (value, place) => range(count(value, "minItems", place), null),
    maxItems: (value, place) => range(0, count(value, "maxItems", place)),
    uniqueItems: (value, place) => {
      return value === true ? formulas.condition({ kind: "unique", negated: false, place }) : formulas.true;
    },
    unevaluatedItems: (value, place, schema) => readUnevaluated(reading, "unevaluatedItems", value, place, schema),
  };
}

function lengthOf(value: JsonValue | undefined): number {
  return Array.isArray(value) ? value.length : 0;
}

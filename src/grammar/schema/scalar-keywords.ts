/** Keywords for types, listed values, strings and numbers. */
import { formatPattern } from "./formats.ts";
import type { Formula } from "./formula.ts";
import { JSON_TYPES, type JsonType, type JsonValue } from "./json.ts";
import { count, list, number, strings, text, unsupported, within } from "./keyword-values.ts";
import { InvalidSchema } from "./problem.ts";
import type { Keywords, Reading } from "./reading.ts";

type Relation = "<" | "<=" | ">" | ">=";

export function scalarKeywords({ formulas, patterns }: Reading): Keywords {
  const length = (least: number, most: number | null): Formula => {
    return least === 0 && most === null ? formulas.true : formulas.condition({ kind: "length", least, most });
  };
  const bound = (relation: Relation, value: JsonValue, keyword: string, place: string): Formula => {
    return formulas.condition({ kind: "bound", at: number(value, keyword, place), relation });
  };

  const types = (value: JsonValue, place: string): Formula => {
    const names = Array.isArray(value) ? strings(value, "type", place) : [text(value, "type", place)];
    const wrong = names.find((name) => name !== "integer" && !JSON_TYPES.includes(name as JsonType));
    if (wrong !== undefined) throw new InvalidSchema(`${JSON.stringify(wrong)} at '${place || "#"}' is no type of JSON Schema.`);
    const others = formulas.types(names.filter((name) => name !== "integer") as JsonType[]);
    if (!names.includes("integer") || names.includes("number")) return others;
    const integer = formulas.condition({ kind: "integer", negated: false });
    return formulas.or(others, formulas.and(formulas.types(["number"]), integer));
  };

  const pattern = (source: string, place: string): Formula => {
    // Whether it can be understood is seen now, where its place is known.
    within("pattern", place, () => patterns.get(source));
    return formulas.condition({ kind: "pattern", pattern: source, whole: false, negated: false });
  };

  const format = (value: JsonValue, place: string): Formula => {
    const source = typeof value === "string" ? formatPattern(value) : null;
    if (source === null) return formulas.true;
    if (source === undefined) return unsupported("format", `there is no grammar for ${JSON.stringify(value)}`, place);
    return formulas.condition({ kind: "pattern", pattern: source, whole: true, negated: false });
  };

  const multiple = (value: JsonValue, place: string): Formula => {
    const of = number(value, "multipleOf", place);
    if (of <= 0) throw new InvalidSchema(`'multipleOf' at '${place || "#"}' must be above 0.`);
    return formulas.condition({ kind: "multiple", of, negated: false });
  };

  return {
    type: types,
    enum: (value, place) => formulas.values(list(value, "enum", place)),
    const: (value) => formulas.values([value]),

    pattern: (value, place) => pattern(text(value, "pattern", place), place),
    format,
    minLength: (value, place) => length(count(value, "minLength", place), null),
    maxLength: (value, place) => length(0, count(value, "maxLength", place)),

    minimum: (value, place, { exclusiveMinimum }) => bound(exclusiveMinimum === true ? ">" : ">=", value, "minimum", place),
    maximum: (value, place, { exclusiveMaximum }) => bound(exclusiveMaximum === true ? "<" : "<=", value, "maximum", place),
    // In draft 4 these were booleans beside the bounds.
    exclusiveMinimum: (value, place) =>
      typeof value === "boolean" ? formulas.true : bound(">", value, "exclusiveMinimum", place),
    exclusiveMaximum: (value, place) =>
      typeof value === "boolean" ? formulas.true : bound("<", value, "exclusiveMaximum", place),
    multipleOf: multiple,
    divisibleBy: (_, place) => unsupported("divisibleBy", "it is of draft 3", place),
  };
}

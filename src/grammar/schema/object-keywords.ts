/** Keywords for objects. */
import type { Formula } from "./formula.ts";
import { isObject, type JsonObject, type JsonValue } from "./json.ts";
import { KeySet } from "./key-set.ts";
import { count, entries, strings, within } from "./keyword-values.ts";
import { step } from "./places.ts";
import type { Keywords, Reading } from "./reading.ts";
import { readUnevaluated } from "./unevaluated.ts";

export function objectKeywords(reading: Reading): Keywords {
  const { formulas, patterns } = reading;

  const range = (least: number, most: number | null): Formula => {
    return least === 0 && most === null ? formulas.true : formulas.condition({ kind: "properties", least, most });
  };

  const properties = (value: JsonValue, place: string): Formula => {
    const at = step(place, "properties");
    const every = entries(value, "properties", place).map(([name, schema]) => {
      return formulas.condition({ kind: "every", keys: KeySet.of([name]), value: reading.schema(schema, step(at, name)) });
    });
    return formulas.and(...every);
  };

  const patternProperties = (value: JsonValue, place: string): Formula => {
    const at = step(place, "patternProperties");
    const every = entries(value, "patternProperties", place).map(([pattern, schema]) => {
      within("patternProperties", place, () => patterns.get(pattern));
      const keys = KeySet.matching(pattern, patterns);
      return formulas.condition({ kind: "every", keys, value: reading.schema(schema, step(at, pattern)) });
    });
    return formulas.and(...every);
  };

  /** Of the keys that neither `properties` nor `patternProperties` speak of. */
  const others = (value: JsonValue, place: string, schema: JsonObject): Formula => {
    const names = isObject(schema.properties) ? Object.keys(schema.properties) : [];
    const sources = isObject(schema.patternProperties) ? Object.keys(schema.patternProperties) : [];
    const keys = KeySet.otherThan(names, sources, patterns);
    return formulas.condition({ kind: "every", keys, value: reading.schema(value, place) });
  };

  const propertyNames = (value: JsonValue, place: string): Formula => {
    const names = reading.schema(value, step(place, "propertyNames"));
    if (names === formulas.true) return names;
    const refused = formulas.not(names);
    const keys = new KeySet(`names ${refused.id}`, null, () => within("propertyNames", place, () => reading.stringsOf(refused)));
    return formulas.condition({ kind: "every", keys, value: formulas.false });
  };

  const required = (names: readonly string[]): Formula => {
    return formulas.and(
      ...names.map((name) => formulas.condition({ kind: "some", keys: KeySet.of([name]), value: formulas.true })),
    );
  };

  const dependencies = (value: JsonValue, keyword: string, place: string): Formula => {
    const parts = entries(value, keyword, place).map(([name, dependency]) => {
      const at = step(step(place, keyword), name);
      const needs =
        Array.isArray(dependency) || typeof dependency === "string"
          ? required(typeof dependency === "string" ? [dependency] : strings(dependency, keyword, place))
          : reading.schema(dependency, at);
      const absent = formulas.condition({ kind: "every", keys: KeySet.of([name]), value: formulas.false });
      return formulas.or(
        formulas.and(formulas.types(["object"]), absent),
        formulas.types(["null", "boolean", "number", "string", "array"]),
        needs,
      );
    });
    return formulas.and(...parts);
  };

  return {
    properties,
    patternProperties,
    additionalProperties: (value, place, schema) => others(value, step(place, "additionalProperties"), schema),
    propertyNames,
    required: (value, place) => required(strings(value, "required", place)),
    minProperties: (value, place) => range(count(value, "minProperties", place), null),
    maxProperties: (value, place) => range(0, count(value, "maxProperties", place)),
    dependencies: (value, place) => dependencies(value, "dependencies", place),
    dependentRequired: (value, place) => dependencies(value, "dependentRequired", place),
    dependentSchemas: (value, place) => dependencies(value, "dependentSchemas", place),
    unevaluatedProperties: (value, place, schema) => readUnevaluated(reading, "unevaluatedProperties", value, place, schema),
  };
}

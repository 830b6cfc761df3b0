import type { JsonObject, JsonValue } from "./json.ts";
import { unsupported } from "./keyword-values.ts";

/** Keywords that apply other schemas to the same value, which may evaluate parts of it. */
const APPLICATORS = ["$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "dependencies", "contains"];

/**
 * Whether `unevaluatedProperties` or `unevaluatedItems` says anything. Beside nothing that applies other schemas to the same
 * value, they are what `additionalProperties` and `items` are. Throws `UnsupportedSchema` beside others.
 */
export function isUnevaluated(value: JsonValue, keyword: string, place: string, schema: JsonObject): boolean {
  if (value === true) return false;
  const other = APPLICATORS.find((name) => schema[name] !== undefined);
  if (other) unsupported(keyword, `beside '${other}'`, place);
  return true;
}

import type { JsonType } from "./parameter-types.ts";
import { readPython } from "./python.ts";
import { Reader } from "./reader.ts";

/** The most specific type that a text can be wins. */
const order: readonly JsonType[] = ["null", "integer", "number", "boolean", "object", "array"];

/**
 * The JSON that a parameter's text stands for, by its schema: `types` as `findParameterTypes` gives them. A text that fits no type
 * stays a string; without types it is JSON where it is an object, a list, a number or a word of JSON's.
 */
export function convertParameter(text: string, types: ReadonlySet<JsonType> | null): string {
  const trimmed = text.trim();
  if (types === null) return parseAs(trimmed, null) ?? JSON.stringify(text);
  for (const type of order) {
    const json = types.has(type) ? parseAs(trimmed, type) : null;
    if (json !== null) return json;
  }
  if (types.has("string")) return JSON.stringify(text);
  return parseAs(trimmed, null) ?? JSON.stringify(text);
}

/** Whether a value can be handed on as a string before its end is known. */
export function isStringOnly(types: ReadonlySet<JsonType> | null): boolean {
  return types !== null && types.size === 1 && types.has("string");
}

function parseAs(text: string, type: JsonType | null): string | null {
  if (type === "boolean" && /^(true|false)$/i.test(text)) return text.toLowerCase();
  if (type === "null" && /^(null|none|nil)$/i.test(text)) return "null";
  const json = toJson(text);
  if (json === null || type === null) return json;
  return matches(JSON.parse(json), type) ? json : null;
}

/** Digits stay as they are: numbers may be larger than JavaScript's. */
function toJson(text: string): string | null {
  try {
    JSON.parse(text);
    return text;
  } catch {
    return fromPython(text);
  }
}

function fromPython(text: string): string | null {
  const reader = new Reader();
  reader.push(text);
  reader.end();
  let json = "";
  const reading = readPython(reader, (piece) => {
    json += piece;
  });
  const { value } = reading.next();
  return value === true && reader.peek().next().value === "" ? json : null;
}

function matches(value: unknown, type: JsonType): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}

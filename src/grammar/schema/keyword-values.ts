/** Reads what keywords have as their values. All throw `InvalidSchema` for a value that makes no sense. */
import { isObject, type JsonValue } from "./json.ts";
import { InvalidSchema, UnsupportedSchema } from "./problem.ts";

export function unsupported(keyword: string, reason: string, place: string): never {
  throw new UnsupportedSchema(keyword, reason, place);
}

/** What a pattern throws, as the keyword's problem. */
export function within<T>(keyword: string, place: string, build: () => T): T {
  try {
    return build();
  } catch (error) {
    if (error instanceof UnsupportedSchema || error instanceof InvalidSchema || !(error instanceof Error)) throw error;
    throw new UnsupportedSchema(keyword, error.message.replace(/\.$/, ""), place);
  }
}

export function wrong(keyword: string, place: string, what: string): InvalidSchema {
  return new InvalidSchema(`'${keyword}' at '${place || "#"}' must be ${what}.`);
}

export function text(value: JsonValue, keyword: string, place: string): string {
  if (typeof value !== "string") throw wrong(keyword, place, "a string");
  return value;
}

export function number(value: JsonValue, keyword: string, place: string): number {
  if (typeof value !== "number") throw wrong(keyword, place, "a number");
  return value;
}

export function count(value: JsonValue, keyword: string, place: string): number {
  if (!Number.isInteger(value) || (value as number) < 0) throw wrong(keyword, place, "a whole number that is not negative");
  return value as number;
}

export function list(value: JsonValue, keyword: string, place: string): readonly JsonValue[] {
  if (!Array.isArray(value)) throw wrong(keyword, place, "an array");
  return value;
}

export function strings(value: JsonValue, keyword: string, place: string): string[] {
  return list(value, keyword, place).map((item) => text(item, keyword, place));
}

export function entries(value: JsonValue, keyword: string, place: string): [string, JsonValue][] {
  if (!isObject(value)) throw wrong(keyword, place, "an object");
  return Object.entries(value);
}

import { Environment } from "@huggingface/jinja";

/** A value inside a running template, as the library wraps it. */
export type Value = ReturnType<Environment["set"]>;

const scratch = new Environment();

/** Wraps a JavaScript value for a template. */
export function toValue(value: unknown): Value {
  scratch.variables.delete("value");
  return scratch.set("value", value);
}

/** A function for templates that sees wrapped values, which tell 1.0 from 1 and undefined from none. */
export function toFunction(call: (args: Value[], scope: Environment) => Value): Value {
  const wrapped = toValue(() => null);
  (wrapped as { value: unknown }).value = call;
  return wrapped;
}

/** What Python's `str()` makes of a value; jinja prints with it. */
export function printValue(value: Value): string {
  if (value.type === "StringValue") return String(value.value);
  return value.type === "UndefinedValue" ? "" : represent(value);
}

/** Python's `repr()`. */
function represent(value: Value): string {
  const inner: unknown = value.value;
  switch (value.type) {
    case "NullValue":
      return "None";
    case "UndefinedValue":
      return "Undefined";
    case "BooleanValue":
      return inner ? "True" : "False";
    case "IntegerValue":
      return String(inner);
    case "FloatValue":
      return formatFloat(Number(inner));
    case "StringValue":
      return quote(String(inner));
  }
  if (Array.isArray(inner)) {
    const items = inner.map((item: Value) => represent(item));
    if (value.type !== "TupleValue") return `[${items.join(", ")}]`;
    return items.length === 1 ? `(${items[0]},)` : `(${items.join(", ")})`;
  }
  if (inner instanceof Map) {
    const entries = [...(inner as Map<string, Value>)].map(([key, item]) => `${quote(key)}: ${represent(item)}`);
    return `{${entries.join(", ")}}`;
  }
  return value.toString();
}

/** Python's `repr` of a float: always with a point or an exponent of two digits. */
function formatFloat(number: number): string {
  if (!Number.isFinite(number)) return Number.isNaN(number) ? "nan" : number > 0 ? "inf" : "-inf";
  const size = Math.abs(number);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    return number.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  }
  if (Object.is(number, -0)) return "-0.0";
  return Number.isInteger(number) ? number.toFixed(1) : String(number);
}

function quote(text: string): string {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'";
  const names: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", [mark]: `\\${mark}` };
  let quoted = "";
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (Object.hasOwn(names, character)) quoted += names[character];
    else if (code < 0x20 || (code >= 0x7f && code < 0xa0)) quoted += `\\x${code.toString(16).padStart(2, "0")}`;
    else quoted += character;
  }
  return mark + quoted + mark;
}

export interface JsonOptions {
  ensureAscii: boolean;
  indent: number | null;
  separators: [string, string] | null;
  sortKeys: boolean;
}

/** Python's `json.dumps`, to the character. An undefined value counts as null. */
export function dumpJson(value: Value, options: JsonOptions, depth = 0): string {
  const inner: unknown = value.value;
  switch (value.type) {
    case "NullValue":
    case "UndefinedValue":
      return "null";
    case "BooleanValue":
    case "IntegerValue":
      return String(inner);
    case "FloatValue":
      return formatFloat(Number(inner));
    case "StringValue":
      return dumpString(String(inner), options);
  }
  if (Array.isArray(inner)) {
    const items = inner.map((item: Value) => dumpJson(item, options, depth + 1));
    return joinItems("[", items, "]", options, depth);
  }
  if (inner instanceof Map) {
    const entries = [...(inner as Map<string, Value>)];
    if (options.sortKeys) entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    const colon = options.separators?.[1] ?? ": ";
    const items = entries.map(([key, item]) => dumpString(key, options) + colon + dumpJson(item, options, depth + 1));
    return joinItems("{", items, "}", options, depth);
  }
  throw new Error(`a ${value.type} cannot be written as JSON`);
}

function joinItems(open: string, items: string[], close: string, options: JsonOptions, depth: number): string {
  const { indent, separators } = options;
  if (items.length === 0) return open + close;
  if (indent === null) return open + items.join(separators?.[0] ?? ", ") + close;
  const line = `\n${" ".repeat(indent * (depth + 1))}`;
  return `${open}${line}${items.join((separators?.[0] ?? ",") + line)}\n${" ".repeat(indent * depth)}${close}`;
}

function dumpString(text: string, options: JsonOptions): string {
  const json = JSON.stringify(text);
  if (!options.ensureAscii) return json;
  return json.replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

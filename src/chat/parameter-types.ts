import type { Tool } from "./events.ts";

export type JsonType = "null" | "boolean" | "integer" | "number" | "string" | "object" | "array";

const jsonTypes: readonly string[] = ["null", "boolean", "integer", "number", "string", "object", "array"];
const maxReferences = 16;

/** What a parameter may be by its tool's schema; null: the schema does not say. */
export function findParameterTypes(tools: readonly Tool[], tool: string, parameter: string): ReadonlySet<JsonType> | null {
  const root = tools.find(({ name }) => name === tool)?.parameters;
  const schema = follow(root, root);
  if (!isRecord(schema)) return null;
  const properties = isRecord(schema.properties) ? schema.properties : {};
  const own = Object.hasOwn(properties, parameter) ? properties[parameter] : schema.additionalProperties;
  const types = new Set<JsonType>();
  collect(own, root, types, maxReferences);
  return types.size > 0 ? types : null;
}

function collect(schema: unknown, root: unknown, types: Set<JsonType>, depth: number): void {
  const target = follow(schema, root);
  if (!isRecord(target) || depth === 0) return;
  const named = Array.isArray(target.type) ? target.type : [target.type];
  for (const name of named) if (typeof name === "string") addType(name.toLowerCase(), types);
  if (target.nullable === true) types.add("null");
  if (named.every((name) => typeof name !== "string")) {
    const values = Array.isArray(target.enum) ? target.enum : "const" in target ? [target.const] : [];
    for (const value of values) types.add(typeOf(value));
    if (isRecord(target.properties)) types.add("object");
    if (isRecord(target.items)) types.add("array");
  }
  for (const key of ["anyOf", "oneOf", "allOf"]) {
    const branches = target[key];
    if (Array.isArray(branches)) for (const branch of branches) collect(branch, root, types, depth - 1);
  }
}

/** Other languages' names of types are understood as well, as in the parsers that the models were trained with. */
function addType(name: string, types: Set<JsonType>): void {
  if (jsonTypes.includes(name)) types.add(name as JsonType);
  else if (/^(str|text|varchar|char|enum)/.test(name)) types.add("string");
  else if (/^(u?int|long|short|unsigned)/.test(name)) types.add("integer");
  else if (/^(num|float|double|decimal)/.test(name)) types.add("number");
  else if (/^bool/.test(name)) types.add("boolean");
  else if (/^(dict|map)/.test(name)) types.add("object");
  else if (/^(list|arr|tuple|set)/.test(name)) types.add("array");
}

function typeOf(value: unknown): JsonType {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value as JsonType;
}

/** The schema that a local `$ref` points to. */
function follow(schema: unknown, root: unknown): unknown {
  let target = schema;
  for (let step = 0; step < maxReferences; step++) {
    if (!isRecord(target) || typeof target.$ref !== "string") return target;
    if (!target.$ref.startsWith("#")) return undefined;
    const path = target.$ref.slice(1).split("/").slice(1);
    target = path.reduce<unknown>((at, key) => (isRecord(at) ? at[unescapePointer(key)] : undefined), root);
  }
  return undefined;
}

function unescapePointer(key: string): string {
  return key.replaceAll("~1", "/").replaceAll("~0", "~");
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

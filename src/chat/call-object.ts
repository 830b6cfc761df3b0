import type { Reading } from "./events.ts";
import type { Context } from "./format.ts";
import { readJson, readStringValue } from "./json.ts";

const nameKeys = ["name", "tool_name", "function"];
const argumentKeys = ["arguments", "parameters", "args"];
const idKeys = ["id", "tool_call_id"];

interface Parts {
  name: string | null;
  id: string | undefined;
  /** Arguments that came before the name. */
  early: string | null;
}

export interface CallObjectOptions {
  /** Takes only the names that the request offers. */
  knownOnly?: boolean;
}

/**
 * Reads `{"name": …, "arguments": {…}}`, in any order and with other keys beside, as a call; it is left open at the object's end.
 * False: it is something else.
 */
export function* readCallObject(context: Context, options: CallObjectOptions = {}): Reading<boolean> {
  const { reader, writer } = context;
  const parts: Parts = { name: null, id: undefined, early: null };
  if (!(yield* reader.accept("{"))) return false;
  do {
    yield* reader.space();
    const key = yield* readStringValue(reader);
    if (key === null) return false;
    yield* reader.space();
    if (!(yield* reader.accept(":"))) return false;
    yield* reader.space();
    if (!(yield* readMember(context, key, parts))) return false;
    if (options.knownOnly && parts.name !== null && !context.tools.some(({ name }) => name === parts.name)) return false;
    yield* reader.space();
  } while (yield* reader.accept(","));
  if ((yield* reader.peek()) !== "}" || parts.name === null) return false;
  reader.next();
  if (writer.isCallOpen) return true;
  writer.startCall(parts.name, parts.id);
  writer.arguments(parts.early ?? "{}");
  return true;
}

function* readMember(context: Context, key: string, parts: Parts): Reading<boolean> {
  const { reader, writer } = context;
  const first = yield* reader.peek();
  if (nameKeys.includes(key) && first === '"' && parts.name === null) {
    const name = yield* readStringValue(reader);
    parts.name = name?.trim() || null;
    return parts.name !== null;
  }
  if (idKeys.includes(key) && first === '"') {
    parts.id = (yield* readStringValue(reader)) ?? undefined;
    return true;
  }
  if (!argumentKeys.includes(key) || writer.isCallOpen || parts.early !== null) return yield* readJson(reader, () => {});
  // Some models write the object as a string of JSON.
  const isObject = first === "{";
  if (isObject && parts.name !== null) {
    writer.startCall(parts.name, parts.id);
    return yield* readJson(reader, (text) => writer.arguments(text));
  }
  let early = "";
  const isComplete = yield* readJson(reader, (text) => {
    early += text;
  });
  if (!isComplete) return false;
  parts.early = isObject ? early : unwrap(early);
  return parts.early !== null;
}

/** The object that a string of JSON or a null stands for. */
function unwrap(json: string): string | null {
  const value: unknown = JSON.parse(json);
  if (value === null) return "{}";
  if (typeof value !== "string") return null;
  try {
    const inner: unknown = JSON.parse(value.trim() || "{}");
    return typeof inner === "object" && inner !== null && !Array.isArray(inner) ? value.trim() || "{}" : null;
  } catch {
    return null;
  }
}

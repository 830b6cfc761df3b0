import { StartupError } from "../errors.ts";
import { describeValue, oneLine } from "./wording.ts";

/** A JSON object of a published model: anything may be in it. Read it through `ConfigReader`. */
export type JsonObject = Readonly<Record<string, unknown>>;

const DEEPEST = 128;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** How transformers writes numbers that JSON lacks: `{"__float__": "Infinity"}`. */
const FLOAT_TAG = "__float__";
const TAGGED: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
};

/**
 * Parses a JSON file as published models have it: a byte order mark, Python's bare NaN, Infinity and -Infinity, and transformers' way
 * to write these are taken. Throws `StartupError` when it is not JSON, not an object, or nested so deeply that later readers could run out of stack.
 */
export function parseModelJson(text: string, path: string): JsonObject {
  const body = text.startsWith("\uFEFF") ? text.slice(1) : text;
  if (isDeeper(body, DEEPEST)) throw new StartupError(`${path} is nested more than ${DEEPEST} levels deep`);
  const strict = parseStrict(body);
  const parsed = strict === undefined ? parsePython(body, path) : strict;
  const value = body.includes(FLOAT_TAG) ? untag(parsed) : parsed;
  if (!isObject(value)) throw new StartupError(`${path} is not a JSON object but ${describeValue(value)}`);
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Every tag becomes its number. */
function untag(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(untag);
  if (!isObject(value)) return value;
  const { [FLOAT_TAG]: tag, ...others } = value;
  if (typeof tag === "string" && Object.hasOwn(TAGGED, tag) && Object.keys(others).length === 0) return TAGGED[tag];
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, untag(inner)]));
}

function parseStrict(text: string): unknown {
  try {
    // An object keeps a `__proto__` key as its own property: nothing here is ever merged with Object.assign.
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The slow way: JSON has no NaN, so a marker stands for it that no file can foresee, and is turned into NaN on the way out. */
function parsePython(text: string, path: string): unknown {
  const marker = crypto.randomUUID();
  try {
    const json = outsideStrings(text, (part) => part.replace(/\bNaN\b/g, `"${marker}"`).replace(/\bInfinity\b/g, "1e999"));
    return JSON.parse(json, (_key, value: unknown) => (value === marker ? Number.NaN : value));
  } catch (error) {
    const detail = error instanceof Error ? oneLine(error.message) : "";
    throw new StartupError(`${path} is not JSON (${detail})`, { cause: error });
  }
}

function outsideStrings(text: string, change: (part: string) => string): string {
  const parts: string[] = [];
  let at = 0;
  for (let begin = text.indexOf('"'); begin >= 0; begin = text.indexOf('"', at)) {
    const end = endOfString(text, begin);
    parts.push(change(text.slice(at, begin)), text.slice(begin, end));
    at = end;
  }
  parts.push(change(text.slice(at)));
  return parts.join("");
}

/** Counts brackets before anything is built, so that neither the parser nor a later reader can run out of stack. */
function isDeeper(text: string, most: number): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) depth++;
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth--;
    if (depth > most) return true;
  }
  return false;
}

/** The position after the closing quote of the string that begins at `begin`; the text's end if there is none. */
function endOfString(text: string, begin: number): number {
  let at = begin + 1;
  for (let code = text.charCodeAt(at); code !== QUOTE && at < text.length; code = text.charCodeAt(at)) {
    at += code === BACKSLASH ? 2 : 1;
  }
  return at + 1;
}

import type { Reading } from "./events.ts";
import { escapeJson } from "./json.ts";
import type { Reader } from "./reader.ts";

type Sink = (text: string) => void;

const word = /[-+.\w]*/y;
const longestWord = 400;
const maxDepth = 64;
const constants: Readonly<Record<string, string>> = {
  True: "true",
  False: "false",
  None: "null",
  true: "true",
  false: "false",
  null: "null",
};
const simpleEscapes: Readonly<Record<string, string>> = {
  n: "\n",
  t: "\t",
  r: "\r",
  b: "\b",
  f: "\f",
  v: "\v",
  a: "\x07",
  "0": "\0",
  "\\": "\\",
  "'": "'",
  '"': '"',
  "\n": "",
};
const hexEscapes: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const openers: Readonly<Record<string, string>> = { "[": "]", "(": ")", "{": "}" };

/** Reads a literal of Python's and hands it to `sink` as JSON, as it comes. False: it is none, or the text has ended within it. */
export function* readPython(reader: Reader, sink: Sink, depth = 0): Reading<boolean> {
  yield* reader.space();
  const first = yield* reader.peek();
  if (first === '"' || first === "'") return yield* readPythonString(reader, sink);
  const close = openers[first];
  if (close === undefined) return yield* readPythonWord(reader, sink);
  if (depth === maxDepth) return false;
  reader.next();
  const isObject = first === "{";
  sink(isObject ? "{" : "[");
  let separator = "";
  for (;;) {
    yield* reader.space();
    if (yield* reader.accept(close)) break;
    sink(separator);
    if (isObject && !(yield* readPythonKey(reader, sink))) return false;
    if (!(yield* readPython(reader, sink, depth + 1))) return false;
    yield* reader.space();
    if (!(yield* reader.accept(",")) && (yield* reader.peek()) !== close) return false;
    separator = ", ";
  }
  sink(isObject ? "}" : "]");
  return true;
}

function* readPythonKey(reader: Reader, sink: Sink): Reading<boolean> {
  if (!(yield* readPythonString(reader, sink))) return false;
  yield* reader.space();
  if (!(yield* reader.accept(":"))) return false;
  sink(": ");
  return true;
}

function* readPythonWord(reader: Reader, sink: Sink): Reading<boolean> {
  const text = yield* reader.takeWhile(word, longestWord);
  const constant = constants[text];
  if (constant !== undefined) {
    sink(constant);
    return true;
  }
  const digits = text.replace(/(?<=\d)_(?=\d)/g, "");
  if (/^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(digits)) sink(digits);
  else if (/^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(digits)) sink(String(Number(digits)));
  else return false;
  return true;
}

/** A string in single, double or tripled quotes. */
function* readPythonString(reader: Reader, sink: Sink): Reading<boolean> {
  const quote = yield* reader.acceptOne(['"""', "'''", '"', "'"]);
  if (quote === null) return false;
  const plain = quote[0] === '"' ? /[^"\\]*/y : /[^'\\]*/y;
  sink('"');
  for (;;) {
    yield* reader.passWhile(plain, (text) => sink(escapeJson(text)));
    if (yield* reader.accept(quote)) break;
    if ((yield* reader.peek()) === "") return false;
    const next = reader.next();
    sink(escapeJson(next === "\\" ? yield* readEscape(reader) : next));
  }
  sink('"');
  return true;
}

/** An escape that Python does not know stands for itself, backslash included. */
function* readEscape(reader: Reader): Reading<string> {
  const next = yield* reader.peek();
  const simple = simpleEscapes[next];
  if (simple !== undefined) {
    reader.next();
    return simple;
  }
  const length = hexEscapes[next];
  if (length === undefined) return "\\";
  reader.next();
  const digits = yield* reader.takeWhile(/[0-9a-fA-F]*/y, length);
  const code = Number.parseInt(digits, 16);
  return digits.length === length && code <= 0x10ffff ? String.fromCodePoint(code) : `\\${next}${digits}`;
}

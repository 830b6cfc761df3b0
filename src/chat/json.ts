import type { Reading } from "./events.ts";
import type { Reader } from "./reader.ts";

type Sink = (text: string) => void;

const spaces = /[ \t\r\n]*/y;
const numberCharacters = /[-+.\w]*/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what JSON does not allow in strings.
const plainCharacters = /[^"\\\u0000-\u001f]*/y;
const numberPattern = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/;
const longestWord = 400;
const escapes = '"\\/bfnrt';
/** Python's words are taken as well: models mix them up. */
const words: Readonly<Record<string, string>> = {
  true: "true",
  false: "false",
  null: "null",
  True: "true",
  False: "false",
  None: "null",
};

/** Text as the inside of a JSON string. */
export function escapeJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

/**
 * Reads one JSON value and hands its text to `sink` as it comes, made valid where the meaning is clear: control characters and stray
 * backslashes in strings are escaped. False: what comes next is no part of a JSON value, or the text has ended within it.
 */
export function* readJson(reader: Reader, sink: Sink): Reading<boolean> {
  // Iterative, so that no depth of brackets can exhaust the stack.
  const open: ("{" | "[")[] = [];
  sink(yield* reader.takeWhile(spaces));
  for (;;) {
    const first = yield* reader.peek();
    if (first === "{" || first === "[") {
      sink(reader.next());
      sink(yield* reader.takeWhile(spaces));
      const close = first === "{" ? "}" : "]";
      if ((yield* reader.peek()) !== close) {
        open.push(first);
        if (first === "{" && !(yield* readKey(reader, sink))) return false;
        continue;
      }
      sink(reader.next());
    } else if (first === '"') {
      if (!(yield* readString(reader, sink))) return false;
    } else if (!(yield* readWord(reader, sink))) return false;

    // A value is complete: close what closes here, and go on to the next value.
    for (;;) {
      const within = open.at(-1);
      if (within === undefined) return true;
      sink(yield* reader.takeWhile(spaces));
      const next = yield* reader.peek();
      if (next === ",") {
        sink(reader.next());
        sink(yield* reader.takeWhile(spaces));
        if (within === "{" && !(yield* readKey(reader, sink))) return false;
        break;
      }
      if (next !== (within === "{" ? "}" : "]")) return false;
      sink(reader.next());
      open.pop();
    }
  }
}

/** Reads a string with its quotes. */
export function* readString(reader: Reader, sink: Sink): Reading<boolean> {
  if (!(yield* reader.accept('"'))) return false;
  sink('"');
  for (;;) {
    yield* reader.passWhile(plainCharacters, sink);
    const next = yield* reader.peek();
    if (next === "") return false;
    reader.next();
    if (next === '"') {
      sink('"');
      return true;
    }
    if (next !== "\\") sink(escapeJson(next));
    else if (!(yield* readEscape(reader, sink))) return false;
  }
}

/** The value of a string, or null where there is none. */
export function* readStringValue(reader: Reader): Reading<string | null> {
  let text = "";
  const isComplete = yield* readString(reader, (piece) => {
    text += piece;
  });
  return isComplete ? String(JSON.parse(text)) : null;
}

function* readEscape(reader: Reader, sink: Sink): Reading<boolean> {
  const next = yield* reader.peek();
  if (next === "") return false;
  if (next === "u") {
    reader.next();
    const digits = yield* reader.takeWhile(/[0-9a-fA-F]*/y, 4);
    sink(digits.length === 4 ? `\\u${digits}` : `\\\\u${digits}`);
    return true;
  }
  if (escapes.includes(next)) sink(`\\${reader.next()}`);
  else if (next === "'") sink(reader.next());
  else sink("\\\\");
  return true;
}

function* readKey(reader: Reader, sink: Sink): Reading<boolean> {
  if (!(yield* readString(reader, sink))) return false;
  sink(yield* reader.takeWhile(spaces));
  if (!(yield* reader.accept(":"))) return false;
  sink(":");
  sink(yield* reader.takeWhile(spaces));
  return true;
}

function* readWord(reader: Reader, sink: Sink): Reading<boolean> {
  const word = yield* reader.takeWhile(numberCharacters, longestWord);
  const known = words[word] ?? (numberPattern.test(word) ? word : null);
  sink(known ?? word);
  return known !== null;
}

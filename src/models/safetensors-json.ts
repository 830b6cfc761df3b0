import { StartupError } from "../errors.ts";
import { quote } from "./wording.ts";

/** One tensor's entry as written in a header: types are right, meaning is not checked. */
export interface HeaderEntry {
  name: string;
  dtype: string;
  shape: number[];
  begin: number;
  end: number;
}

export interface ParsedHeader {
  metadata: Map<string, string>;
  entries: HeaderEntry[];
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const WHITESPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);
const DEEPEST = 16;
const LONGEST_LIST = 64;

/**
 * Reads the JSON of a safetensors header. `JSON.parse` would let a key that is there twice pass (native readers may take the other
 * one) and would build gigabytes out of a hostile header before anything is checked; this stops at the first wrong token. Throws
 * `StartupError` naming the file and what is wrong.
 */
export function parseHeaderJson(text: string, path: string): ParsedHeader {
  const cursor = new Cursor(text, path);
  const header: ParsedHeader = { metadata: new Map(), entries: [] };
  cursor.object("the header", (name) => {
    if (name === "__metadata__") header.metadata = readMetadata(cursor);
    else header.entries.push(readEntry(cursor, name));
  });
  cursor.finish();
  return header;
}

function readMetadata(cursor: Cursor): Map<string, string> {
  const metadata = new Map<string, string>();
  if (cursor.literal("null")) return metadata;
  cursor.object("__metadata__", (key) => metadata.set(key, cursor.string(`__metadata__ ${quote(key)}`)));
  return metadata;
}

function readEntry(cursor: Cursor, name: string): HeaderEntry {
  const what = `tensor ${quote(name)}`;
  let dtype: string | null = null;
  let shape: number[] | null = null;
  let offsets: number[] | null = null;
  cursor.object(what, (field) => {
    if (field === "dtype") dtype = cursor.string(`the dtype of ${what}`);
    else if (field === "shape") shape = cursor.sizes(`the shape of ${what}`);
    else if (field === "data_offsets") offsets = cursor.sizes(`data_offsets of ${what}`);
    else cursor.skip(`${quote(field)} of ${what}`);
  });
  if (dtype === null) cursor.fail(`${what} has no dtype`);
  if (shape === null) cursor.fail(`${what} has no shape`);
  if (offsets === null) cursor.fail(`${what} has no data_offsets`);
  const [begin, end, ...rest] = offsets as number[];
  if (begin === undefined || end === undefined || rest.length > 0) {
    cursor.fail(`data_offsets of ${what} are not two numbers`);
  }
  return { name, dtype, shape, begin, end };
}

/** A position in the text. `what` in each method names the thing being read, for the message. */
class Cursor {
  private at = 0;
  private readonly text: string;
  private readonly path: string;

  constructor(text: string, path: string) {
    this.text = text;
    this.path = path;
  }

  /** Calls `member` with each key, the cursor standing on its value. */
  object(what: string, member: (key: string) => void): void {
    if (!this.take("{")) this.fail(`${what} is not an object`);
    if (this.take("}")) return;
    const seen = new Set<string>();
    do {
      const key = this.string(`a key of ${what}`);
      if (seen.has(key)) this.fail(`${what} has ${quote(key)} twice`);
      seen.add(key);
      if (!this.take(":")) this.fail(`${quote(key)} of ${what} has no value`);
      member(key);
    } while (this.take(","));
    if (!this.take("}")) this.fail(`${what} does not end`);
  }

  /** A list of non-negative whole numbers that are exact in JavaScript. */
  sizes(what: string): number[] {
    if (!this.take("[")) this.fail(`${what}: not a list`);
    const sizes: number[] = [];
    if (this.take("]")) return sizes;
    do {
      const digits = this.digits();
      const size = Number(digits);
      const whole = digits !== "" && (digits === "0" || digits[0] !== "0");
      if (!whole || !Number.isSafeInteger(size)) this.fail(`${what}: not a list of whole numbers in range`);
      if (sizes.push(size) > LONGEST_LIST) this.fail(`${what}: the list is too long`);
    } while (this.take(","));
    if (!this.take("]")) this.fail(`${what}: not a list of whole numbers in range`);
    return sizes;
  }

  string(what: string): string {
    if (!this.take('"')) this.fail(`${what} is not a string`);
    const start = this.at;
    let escaped = false;
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code === QUOTE) break;
      if (Number.isNaN(code)) this.fail(`${what} does not end`);
      if (code < 0x20) this.fail(`${what} has a control character`);
      if (code === BACKSLASH) escaped = true;
      this.at += code === BACKSLASH ? 2 : 1;
    }
    const raw = this.text.slice(start, this.at++);
    return escaped ? this.unescape(raw, what) : raw;
  }

  /** Takes `word` when it comes next. */
  literal(word: string): boolean {
    this.space();
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }

  /** Passes over a value of any kind: fields that the format may get one day. */
  skip(what: string, depth = 0): void {
    if (depth > DEEPEST) this.fail(`${what} is nested too deeply`);
    this.space();
    const next = this.text[this.at];
    if (next === '"') this.string(what);
    else if (next === "{") this.object(what, () => this.skip(what, depth + 1));
    else if (next === "[") this.skipList(what, depth);
    else if (!["true", "false", "null"].some((word) => this.literal(word))) this.skipNumber(what);
  }

  finish(): void {
    this.space();
    if (this.at < this.text.length) this.fail("something follows the closing brace");
  }

  fail(problem: string): never {
    throw new StartupError(`the header of ${this.path} is corrupt: ${problem} (near character ${this.at})`);
  }

  private skipList(what: string, depth: number): void {
    this.take("[");
    if (this.take("]")) return;
    do this.skip(what, depth + 1);
    while (this.take(","));
    if (!this.take("]")) this.fail(`${what} does not end`);
  }

  private skipNumber(what: string): void {
    const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
    number.lastIndex = this.at;
    const found = number.exec(this.text);
    if (found === null) this.fail(`${what} is not JSON`);
    this.at += found[0].length;
  }

  private digits(): string {
    this.space();
    const start = this.at;
    for (let code = this.text.charCodeAt(start); code >= 0x30 && code <= 0x39; code = this.text.charCodeAt(++this.at));
    return this.text.slice(start, this.at);
  }

  private unescape(raw: string, what: string): string {
    let text: unknown;
    try {
      text = JSON.parse(`"${raw}"`);
    } catch {
      this.fail(`${what} has a wrong escape`);
    }
    if (typeof text !== "string" || !text.isWellFormed()) this.fail(`${what} has half a character`);
    return text;
  }

  private take(character: string): boolean {
    this.space();
    if (this.text[this.at] !== character) return false;
    this.at++;
    return true;
  }

  private space(): void {
    while (WHITESPACE.has(this.text.charCodeAt(this.at))) this.at++;
  }
}

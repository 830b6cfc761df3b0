/** Splits a grammar in EBNF into tokens. */
import { ANY_CHAR, type CharSet, charSet, intersect, subtract } from "../automata/char-set.ts";
import { GrammarProblem } from "./problem.ts";

export type Token =
  | { type: "name"; value: string }
  | { type: "text"; value: string }
  | { type: "chars"; set: CharSet }
  | { type: "repeat"; least: number; most: number | null }
  | { type: "::=" | "|" | "(" | ")" | "end" };

export type PlacedToken = Token & { line: number };

const ESCAPES: Record<string, number> = { n: 10, r: 13, t: 9, b: 8, f: 12, v: 11, a: 7, e: 27, "0": 0 };
const HEX_LENGTHS: Record<string, number> = { x: 2, u: 4, U: 8 };
const MOST_REPEATS = 10_000;

/** Throws `GrammarProblem`. */
export function readTokens(source: string): PlacedToken[] {
  return new Lexer(source.toWellFormed()).tokens();
}

class Lexer {
  readonly #chars: readonly string[];
  #at = 0;
  #line = 1;

  constructor(source: string) {
    this.#chars = [...source];
  }

  tokens(): PlacedToken[] {
    const result: PlacedToken[] = [];
    for (;;) {
      this.#skip();
      const { line } = { line: this.#line };
      const token = this.#token();
      result.push({ ...token, line });
      if (token.type === "end") return result;
    }
  }

  #token(): Token {
    const char = this.#chars[this.#at];
    if (char === undefined) return { type: "end" };
    if (/[A-Za-z_]/.test(char)) return { type: "name", value: this.#while(/[A-Za-z0-9_.-]/) };
    this.#at++;
    switch (char) {
      case "|":
      case "(":
      case ")":
        return { type: char };
      case "*":
        return { type: "repeat", least: 0, most: null };
      case "+":
        return { type: "repeat", least: 1, most: null };
      case "?":
        return { type: "repeat", least: 0, most: 1 };
      case ".":
        return { type: "chars", set: ANY_CHAR };
      case '"':
        return { type: "text", value: this.#text() };
      case "[":
        return { type: "chars", set: this.#class() };
      case "{":
        return this.#range();
      case ":":
        if (this.#chars.slice(this.#at, this.#at + 2).join("") !== ":=") break;
        this.#at += 2;
        return { type: "::=" };
    }
    throw this.#problem(`${JSON.stringify(char)} is not expected`);
  }

  /** Spaces and comments. */
  #skip(): void {
    for (;;) {
      const char = this.#chars[this.#at];
      if (char === "#") while (this.#at < this.#chars.length && this.#chars[this.#at] !== "\n") this.#at++;
      else if (char !== undefined && /\s/.test(char)) {
        if (char === "\n") this.#line++;
        this.#at++;
      } else return;
    }
  }

  #while(pattern: RegExp): string {
    const begin = this.#at;
    while (pattern.test(this.#chars[this.#at] ?? "")) this.#at++;
    return this.#chars.slice(begin, this.#at).join("");
  }

  #text(): string {
    let text = "";
    for (;;) {
      const char = this.#next("a text");
      if (char === '"') return text;
      text += char === "\\" ? String.fromCodePoint(this.#escape()) : char;
    }
  }

  #class(): CharSet {
    const negative = this.#chars[this.#at] === "^";
    if (negative) this.#at++;
    const intervals: [number, number][] = [];
    for (;;) {
      const char = this.#next("a class of characters");
      if (char === "]") break;
      const low = char === "\\" ? this.#escape() : char.codePointAt(0)!;
      let high = low;
      if (this.#chars[this.#at] === "-" && this.#chars[this.#at + 1] !== "]") {
        this.#at++;
        const end = this.#next("a class of characters");
        high = end === "\\" ? this.#escape() : end.codePointAt(0)!;
        if (high < low) throw this.#problem("a range of characters is out of order");
      }
      intervals.push([low, high]);
    }
    const set = charSet(intervals);
    return negative ? subtract(ANY_CHAR, set) : intersect(set, ANY_CHAR);
  }

  /** After a backslash. */
  #escape(): number {
    const char = this.#next("an escape");
    const length = HEX_LENGTHS[char];
    if (length === undefined) return ESCAPES[char] ?? char.codePointAt(0)!;
    const digits = this.#chars.slice(this.#at, this.#at + length).join("");
    const code = /^[0-9A-Fa-f]+$/.test(digits) && digits.length === length ? Number.parseInt(digits, 16) : Number.NaN;
    if (!(code <= 0x10ffff) || (code >= 0xd800 && code <= 0xdfff)) throw this.#problem(`\\${char}${digits} is no character`);
    this.#at += length;
    return code;
  }

  #range(): Token {
    const found = /^\s*(\d+)\s*(,\s*(\d*)\s*)?\}/.exec(this.#chars.slice(this.#at, this.#at + 40).join(""));
    if (!found) throw this.#problem("{ does not begin a number of repetitions");
    this.#at += found[0].length;
    const least = Number(found[1]);
    const most = found[2] === undefined ? least : found[3] === "" ? null : Number(found[3]);
    if (most !== null && most < least) throw this.#problem("the numbers of repetitions are out of order");
    if (Math.max(least, most ?? 0) > MOST_REPEATS) throw this.#problem(`nothing may be repeated more than ${MOST_REPEATS} times`);
    return { type: "repeat", least, most };
  }

  #next(within: string): string {
    const char = this.#chars[this.#at++];
    if (char === undefined) throw this.#problem(`${within} does not end`);
    if (char === "\n") this.#line++;
    return char;
  }

  #problem(what: string): GrammarProblem {
    return new GrammarProblem(`The grammar has a mistake in line ${this.#line}: ${what}.`);
  }
}

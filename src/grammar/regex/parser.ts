/** Reads ECMAScript's regular expressions, as lenient as browsers are without the u flag, and with its \u{…} and \p{…}. */
import { ANY_CHAR, type CharSet, charsOf, intersect, unite } from "../automata/char-set.ts";
import { classEscape, NO_LINE_END, negated, unicodeProperty } from "./char-classes.ts";
import { type RegexNode, RegexProblem } from "./syntax.ts";

const MAX_REPEAT = 10_000;
const MAX_DEPTH = 200;
const CONTROL_ESCAPES: Record<string, number> = { t: 9, n: 10, v: 11, f: 12, r: 13 };

/** Throws `RegexProblem`. */
export function parseRegex(pattern: string): RegexNode {
  const parser = new Parser(pattern.toWellFormed());
  return parser.parse();
}

class Parser {
  readonly #chars: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(pattern: string) {
    this.#chars = [...pattern];
  }

  parse(): RegexNode {
    const node = this.#choice();
    if (this.#at < this.#chars.length) throw this.#problem("a closing parenthesis has no opening one");
    return node;
  }

  #choice(): RegexNode {
    if (++this.#depth > MAX_DEPTH) throw this.#problem("groups are nested too deeply");
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    this.#depth--;
    return options.length === 1 ? options[0]! : { type: "choice", options };
  }

  #sequence(): RegexNode {
    const items: RegexNode[] = [];
    while (this.#at < this.#chars.length && this.#peek() !== "|" && this.#peek() !== ")") items.push(this.#term());
    return items.length === 1 ? items[0]! : { type: "sequence", items };
  }

  #term(): RegexNode {
    const node = this.#atom();
    const range = this.#quantifier();
    if (!range) return node;
    if (node.type === "start" || node.type === "end" || node.type === "lookahead") {
      throw this.#problem("there is nothing to repeat");
    }
    // Lazy or greedy, the language is the same.
    this.#take("?");
    return { type: "repeat", node, ...range };
  }

  #quantifier(): { least: number; most: number | null } | null {
    if (this.#take("*")) return { least: 0, most: null };
    if (this.#take("+")) return { least: 1, most: null };
    if (this.#take("?")) return { least: 0, most: 1 };
    const found = /^\{(\d+)(,(\d*))?\}/.exec(this.#chars.slice(this.#at, this.#at + 24).join(""));
    if (!found) return null;
    this.#at += found[0].length;
    const least = Number(found[1]);
    const most = found[2] === undefined ? least : found[3] === "" ? null : Number(found[3]);
    if (most !== null && most < least) throw this.#problem("the numbers of a quantifier are out of order");
    if (Math.max(least, most ?? 0) > MAX_REPEAT) throw this.#problem(`nothing may be repeated more than ${MAX_REPEAT} times`);
    return { least, most };
  }

  #atom(): RegexNode {
    const char = this.#next();
    switch (char) {
      case ".":
        return { type: "chars", set: NO_LINE_END };
      case "^":
        return { type: "start" };
      case "$":
        return { type: "end" };
      case "(":
        return this.#group();
      case "[":
        return { type: "chars", set: this.#class() };
      case "\\":
        return this.#escape();
      case "*":
      case "+":
      case "?":
        throw this.#problem("there is nothing to repeat");
      default:
        return { type: "chars", set: charsOf(char) };
    }
  }

  #group(): RegexNode {
    let wrap = (node: RegexNode): RegexNode => node;
    if (this.#take("?")) {
      const kind = this.#next();
      if (kind === "=" || kind === "!") wrap = (node) => ({ type: "lookahead", node, negative: kind === "!" });
      else if (kind === "<" && this.#peek() !== "=" && this.#peek() !== "!") this.#groupName();
      else if (kind === "<") throw this.#problem("lookbehind is not supported");
      else if (kind !== ":") throw this.#problem(`(?${kind} is not supported`);
    }
    const node = this.#choice();
    if (!this.#take(")")) throw this.#problem("a group is not closed");
    return wrap(node);
  }

  #groupName(): void {
    while (this.#peek() !== ">") {
      if (!/^[\p{L}\p{N}_$]$/u.test(this.#next())) throw this.#problem("a group's name is not valid");
    }
    this.#next();
  }

  #escape(): RegexNode {
    const char = this.#peek();
    if (char === "b" || char === "B") throw this.#problem(`\\${char} is not supported`);
    if (char === "k" || /^[1-9]$/.test(char)) throw this.#problem("backreferences are not supported");
    return { type: "chars", set: this.#escapedSet() };
  }

  /** After a backslash. */
  #escapedSet(): CharSet {
    const char = this.#next();
    if (char === "p" || char === "P") {
      const name = this.#braced();
      if (name !== null) return unicodeProperty(name, char === "P");
    }
    const named = classEscape(char);
    return named ?? this.#literal(this.#escapedChar(char));
  }

  #literal(code: number): CharSet {
    return intersect([code, code], ANY_CHAR);
  }

  /** The character that an escape stands for; `char` is what follows the backslash. */
  #escapedChar(char: string): number {
    if (char in CONTROL_ESCAPES) return CONTROL_ESCAPES[char]!;
    if (char === "c" && /^[A-Za-z]$/.test(this.#peek())) return this.#next().codePointAt(0)! % 32;
    if (char === "0") return 0;
    if (char === "x") return this.#hex(2) ?? 0x78;
    if (char === "u") {
      if (this.#peek() === "{") {
        const code = Number.parseInt(this.#braced() ?? "", 16);
        if (!(code <= 0x10ffff)) throw this.#problem("\\u{…} is no character");
        return code;
      }
      return this.#codeUnits() ?? 0x75;
    }
    return char.codePointAt(0)!;
  }

  /** `\uXXXX`, or two of them that make one character. */
  #codeUnits(): number | null {
    const first = this.#hex(4);
    if (first === null || first < 0xd800 || first > 0xdbff) return first;
    const mark = this.#at;
    if (this.#take("\\") && this.#take("u")) {
      const second = this.#hex(4);
      if (second !== null && second >= 0xdc00 && second <= 0xdfff) return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    }
    this.#at = mark;
    return first;
  }

  #hex(digits: number): number | null {
    const text = this.#chars.slice(this.#at, this.#at + digits).join("");
    if (text.length !== digits || !/^[0-9A-Fa-f]+$/.test(text)) return null;
    this.#at += digits;
    return Number.parseInt(text, 16);
  }

  #braced(): string | null {
    const end = this.#chars.indexOf("}", this.#at);
    if (this.#peek() !== "{" || end < 0) return null;
    const text = this.#chars.slice(this.#at + 1, end).join("");
    this.#at = end + 1;
    return text;
  }

  /** After the opening bracket. */
  #class(): CharSet {
    const negative = this.#take("^");
    const parts: CharSet[] = [];
    for (;;) {
      if (this.#at >= this.#chars.length) throw this.#problem("a character class is not closed");
      if (this.#take("]")) break;
      const low = this.#classMember();
      const isRange = this.#peek() === "-" && this.#chars[this.#at + 1] !== undefined && this.#chars[this.#at + 1] !== "]";
      if (!isRange) {
        parts.push(low.set);
        continue;
      }
      this.#next();
      const high = this.#classMember();
      if (low.char === null || high.char === null) parts.push(low.set, charsOf("-"), high.set);
      else if (low.char > high.char) throw this.#problem("a range of characters is out of order");
      else parts.push(intersect([low.char, high.char], ANY_CHAR));
    }
    const set = unite(...parts);
    return negative ? negated(set) : set;
  }

  /** `char` is null for what stands for several. */
  #classMember(): { set: CharSet; char: number | null } {
    const char = this.#next();
    const single = (code: number) => ({ set: this.#literal(code), char: code });
    if (char !== "\\") return single(char.codePointAt(0)!);
    const escaped = this.#peek();
    if (escaped === "b") {
      this.#next();
      return single(8);
    }
    if (/^[dDwWsS]$/.test(escaped) || (/^[pP]$/.test(escaped) && this.#chars[this.#at + 1] === "{")) {
      return { set: this.#escapedSet(), char: null };
    }
    return single(this.#escapedChar(this.#next()));
  }

  #peek(): string {
    return this.#chars[this.#at] ?? "";
  }

  #next(): string {
    const char = this.#chars[this.#at];
    if (char === undefined) throw this.#problem("it ends too early");
    this.#at++;
    return char;
  }

  #take(char: string): boolean {
    if (this.#chars[this.#at] !== char) return false;
    this.#at++;
    return true;
  }

  #problem(what: string): RegexProblem {
    return new RegexProblem(
      `The pattern ${JSON.stringify(this.#chars.join("").slice(0, 200))} is not supported: ${what} (at ${this.#at}).`,
    );
  }
}

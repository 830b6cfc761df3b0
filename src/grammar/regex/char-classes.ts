import { ANY_CHAR, type CharSet, charSet, charsOf, complement, LAST_CODE_POINT, subtract, unite } from "../automata/char-set.ts";
import { RegexProblem } from "./syntax.ts";

export const DIGITS: CharSet = [0x30, 0x39];
export const WORD: CharSet = unite(DIGITS, [0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a]);
/** ECMAScript's white space and line terminators. */
export const SPACE: CharSet = unite(charsOf("\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"), [0x2000, 0x200a]);
/** What `.` stands for. */
export const NO_LINE_END: CharSet = subtract(ANY_CHAR, charsOf("\n\r\u2028\u2029"));

const BY_LETTER: Record<string, CharSet> = { d: DIGITS, w: WORD, s: SPACE };

/** `\d`, `\W` and their like; undefined for another letter. */
export function classEscape(letter: string): CharSet | undefined {
  const set = BY_LETTER[letter.toLowerCase()];
  if (!set) return undefined;
  return letter === letter.toLowerCase() ? set : subtract(ANY_CHAR, set);
}

const properties = new Map<string, CharSet>();

/** Characters with a Unicode property, as `\p{…}` names it. Throws `RegexProblem`. */
export function unicodeProperty(name: string, negative: boolean): CharSet {
  let set = properties.get(name);
  if (!set) {
    set = readProperty(name);
    properties.set(name, set);
  }
  return negative ? subtract(ANY_CHAR, set) : set;
}

function readProperty(name: string): CharSet {
  if (!/^[A-Za-z_]+(=[A-Za-z0-9_]+)?$/.test(name)) throw new RegexProblem(`\\p{${name}} is no Unicode property.`);
  let member: RegExp;
  try {
    member = new RegExp(`^\\p{${name}}$`, "u");
  } catch {
    throw new RegexProblem(`\\p{${name}} is no Unicode property.`);
  }
  const intervals: [number, number][] = [];
  for (let code = 0; code <= LAST_CODE_POINT; code++) {
    if (code === 0xd800) code = 0xe000;
    if (!member.test(String.fromCodePoint(code))) continue;
    const last = intervals.at(-1);
    if (last && last[1] === code - 1) last[1] = code;
    else intervals.push([code, code]);
  }
  return charSet(intervals);
}

export function negated(set: CharSet): CharSet {
  return subtract(complement(set), complement(ANY_CHAR));
}

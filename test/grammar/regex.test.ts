import { describe, expect, test } from "bun:test";
import { matches } from "../../src/grammar/automata/dfa.ts";
import { textsMatched, textsWithMatch } from "../../src/grammar/regex/language.ts";
import { RegexProblem } from "../../src/grammar/regex/syntax.ts";
import { Prng } from "../engine/prng.ts";

/** Patterns of real schemas, and some that are awkward. */
const PATTERNS = [
  "^[A-Za-z0-9:_\\-]+$",
  "^([\\w\\/-]|[\\w-][\\w\\/-]*[\\w-])$",
  "^(https?:\\/\\/)?([\\da-z\\.-]+)\\.([a-z\\.]{2,6})([\\/\\w \\.-]*)*\\/?$",
  "(^[^5]*$)|7",
  "^$|^[a-zA-Z_\\$][a-zA-Z_\\$0-9]*$",
  "^(?!@@)[@a-zA-Z0-9_-]+$",
  "^(?=.*[a-z])(?=.*\\d)(?!.*x).{3,6}$",
  "^(?!(False|None)$)[A-Z][a-z]+$",
  "[a-zA-Z-_0-9]",
  "[\\w-.]+@[a-c]",
  "\\d\\d",
  "^\\S+\\s\\D\\W$",
  "a$b|c^d|^e$",
  "(?:a|(?<name>b)){2,3}?c",
  "[^\\x00-\\x7F]",
  "^\\u0061\\u{1F600}*\\t?$",
  "^[\\b\\]\\\\^]+$",
  "^\\p{Lu}\\p{Ll}*$",
  "^\\P{L}+$",
  "x{,3}",
  "a{2}b{2,}c{0,2}",
  "^.{2}$",
  "[]a]|[^]",
  "()|(a||b)",
  "^(a|b)*?$",
];

test("patterns match what JavaScript's match, somewhere in the text", () => {
  const random = new Prng(3);
  for (const pattern of PATTERNS) {
    const regex = new RegExp(pattern, isUnicode(pattern) ? "u" : "");
    const dfa = textsWithMatch(pattern);
    const letters = [
      ...new Set(`${pattern.replace(/[\\^$*+?.()|[\]{}]/g, "")}aZ09_-./ \n\téx5@${isUnicode(pattern) ? "😀" : ""}`),
    ];
    for (let i = 0; i < 400; i++) {
      const text = Array.from({ length: random.int(0, 8) }, () => random.pick(letters)).join("");
      expect({ pattern, text, matches: matches(dfa, text) }).toEqual({ pattern, text, matches: regex.test(text) });
    }
  }
});

test("and from the first character to the last where the whole is meant", () => {
  const random = new Prng(4);
  for (const pattern of PATTERNS) {
    const regex = new RegExp(`^(?:${pattern})$`, isUnicode(pattern) ? "u" : "");
    let dfa: ReturnType<typeof textsMatched>;
    try {
      dfa = textsMatched(pattern);
    } catch (error) {
      // Without an anchor of its own, lookahead is understood only there.
      expect(error).toBeInstanceOf(RegexProblem);
      continue;
    }
    const letters = [...new Set(`${pattern.replace(/[\\^$*+?.()|[\]{}]/g, "")}aZ09é`)];
    for (let i = 0; i < 300; i++) {
      const text = Array.from({ length: random.int(0, 6) }, () => random.pick(letters)).join("");
      expect({ pattern, text, matches: matches(dfa, text) }).toEqual({ pattern, text, matches: regex.test(text) });
    }
  }
});

/** What JavaScript reads only with the flag, or reads otherwise without it. */
function isUnicode(pattern: string): boolean {
  if (!/\\p|\\P|\\u\{|\.|\[\^|\\S|\\D|\\W/.test(pattern)) return false;
  try {
    new RegExp(pattern, "u");
    return true;
  } catch {
    return false;
  }
}

describe("what cannot be honoured is refused, saying what and where", () => {
  const refused: [pattern: string, reason: RegExp][] = [
    ["(a", /a group is not closed/],
    ["a)", /no opening one/],
    ["[a", /not closed/],
    ["*a", /nothing to repeat/],
    ["^*", /nothing to repeat/],
    ["a{3,1}", /out of order/],
    ["[z-a]", /out of order/],
    ["\\bword\\b", /\\b is not supported/],
    ["(a)\\1", /backreferences/],
    ["(?<=a)b", /lookbehind/],
    ["a(?=b)", /beginning of a pattern/],
    ["^(a(?!b))+$", /beginning of a pattern/],
    ["\\p{Nonsense}", /no Unicode property/],
    ["a\\", /ends too early/],
    ["\\u{110000}", /no character/],
    ["(?i)a", /not supported/],
    ["a{20000}", /more than 10000/],
    [`${"(".repeat(300)}a${")".repeat(300)}`, /too deeply/],
  ];
  for (const [pattern, reason] of refused) {
    test(pattern.slice(0, 30), () => {
      expect(() => textsWithMatch(pattern)).toThrow(RegexProblem);
      expect(() => textsWithMatch(pattern)).toThrow(reason);
    });
  }
});

import { describe, expect, test } from "bun:test";
import {
  ANY_CHAR,
  type CharSet,
  charSet,
  complement,
  FIRST_SPECIAL,
  hasChar,
  intersect,
  subtract,
  unite,
} from "../../src/grammar/automata/char-set.ts";
import {
  anyOf,
  type Dfa,
  difference,
  EMPTY,
  EVERYTHING,
  intersection,
  isEmpty,
  isEverything,
  lengthBetween,
  lengthRange,
  matches,
  stateCount,
  TooComplex,
  union,
} from "../../src/grammar/automata/dfa.ts";
import { byteSequences, specialBytes } from "../../src/grammar/automata/utf8.ts";
import { textsMatched } from "../../src/grammar/regex/language.ts";
import { Prng } from "../engine/prng.ts";

const random = new Prng(5);
const LANDMARKS = [
  0, 0x20, 0x22, 0x5c, 0x61, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x1f600, 0xfffff, 0x100000, 0x10ffff,
];

function randomSet(): CharSet {
  return charSet(
    Array.from({ length: random.int(0, 6) }, () => {
      const low = random.chance(0.5) ? random.pick(LANDMARKS) : random.int(0, 0x10ffff);
      return [low, Math.min(0x10ffff, low + random.int(0, random.pick([0, 3, 300, 70_000])))] as const;
    }),
  );
}

test("sets of characters obey the laws of sets", () => {
  for (let round = 0; round < 300; round++) {
    const [a, b] = [randomSet(), randomSet()];
    const points = [...LANDMARKS, ...a, ...b, ...a.map((x) => x + 1), ...b.map((x) => x - 1)].filter(
      (x) => x >= 0 && x <= 0x10ffff,
    );
    for (const x of points) {
      expect(hasChar(unite(a, b), x)).toBe(hasChar(a, x) || hasChar(b, x));
      expect(hasChar(intersect(a, b), x)).toBe(hasChar(a, x) && hasChar(b, x));
      expect(hasChar(complement(a), x)).toBe(!hasChar(a, x));
      expect(hasChar(subtract(a, b), x)).toBe(hasChar(a, x) && !hasChar(b, x));
    }
  }
});

describe("sequences of bytes", () => {
  const fits = (set: CharSet, bytes: readonly number[]) =>
    byteSequences(set).filter(
      (sequence) => sequence.length === bytes.length && sequence.every((byte, i) => hasChar(byte, bytes[i]!)),
    ).length;

  test("are exactly the encodings of the characters, each in one way", () => {
    for (let round = 0; round < 120; round++) {
      const set = intersect(randomSet(), ANY_CHAR);
      const points = [
        ...LANDMARKS,
        ...set,
        ...set.map((x) => x + 1),
        ...set.map((x) => x - 1),
        ...Array.from({ length: 40 }, () => random.int(0, 0x10ffff)),
      ];
      for (const x of points) {
        if (x < 0 || x > 0x10ffff || (x >= 0xd800 && x <= 0xdfff)) continue;
        expect(fits(set, [...Buffer.from(String.fromCodePoint(x))])).toBe(hasChar(set, x) ? 1 : 0);
      }
    }
  });

  test("have no bytes that UTF-8 has not", () => {
    for (const bytes of [[0xc0, 0x80], [0xe0, 0x80, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xff], [0x80]]) {
      expect(fits(ANY_CHAR, bytes)).toBe(0);
    }
  });

  test("of special tokens are no text's, and tell one from the other", () => {
    const some = charSet([5, 127, 128, 200, 16383, 16384, 99_999].map((n) => [FIRST_SPECIAL + n, FIRST_SPECIAL + n + 2]));
    for (const n of [0, 4, 5, 7, 8, 127, 129, 130, 131, 16385, 16386, 16387, 99_999, 100_002]) {
      expect(fits(some, specialBytes(n))).toBe(hasChar(some, FIRST_SPECIAL + n) ? 1 : 0);
      expect(fits(ANY_CHAR, specialBytes(n))).toBe(0);
    }
  });
});

describe("automata", () => {
  const PATTERNS = [
    "a*",
    "(ab|b)*",
    "a.*b",
    "[ab]{2,4}",
    "(a|b)*abb",
    "",
    "b+",
    "(aa)*",
    ".{3}",
    "a?b?c?",
    "[^a]*",
    "(a(b|c)){0,3}",
  ];
  const WORDS = Array.from({ length: 400 }, () =>
    Array.from({ length: random.int(0, 7) }, () => random.pick(["a", "b", "c", "é"])).join(""),
  );
  const dfas = PATTERNS.map((pattern) => ({ dfa: textsMatched(pattern), regex: new RegExp(`^(?:${pattern})$`, "u") }));
  const agree = (dfa: Dfa, wanted: (word: string) => boolean) => WORDS.filter((word) => matches(dfa, word) !== wanted(word));

  test("join, meet and subtract as sets do", () => {
    for (const { dfa: a, regex: x } of dfas) {
      expect(agree(difference(EVERYTHING, a), (word) => !x.test(word))).toEqual([]);
      for (const { dfa: b, regex: y } of dfas) {
        expect(agree(union(a, b), (word) => x.test(word) || y.test(word))).toEqual([]);
        expect(agree(intersection(a, b), (word) => x.test(word) && y.test(word))).toEqual([]);
        expect(agree(difference(a, b), (word) => x.test(word) && !y.test(word))).toEqual([]);
      }
    }
  });

  test("are minimal: equal languages have as many states, nothing has one, everything has one", () => {
    const same: [string, string][] = [
      ["(a|b)*", "(a*b*)*"],
      ["aa*", "a+"],
      ["(ab|cb)", "[ac]b"],
      ["a{3,}", "aaaa*"],
    ];
    for (const [a, b] of same) {
      const [x, y] = [textsMatched(a), textsMatched(b)];
      expect(stateCount(x)).toBe(stateCount(y));
      expect(isEmpty(difference(x, y)) && isEmpty(difference(y, x))).toBe(true);
    }
    expect(isEmpty(intersection(textsMatched("a+"), textsMatched("b+")))).toBe(true);
    expect(isEmpty(EMPTY)).toBe(true);
    const negated = difference(EVERYTHING, textsMatched("a+"));
    expect(isEverything(union(negated, textsMatched("a+")))).toBe(true);
    expect(isEverything(negated)).toBe(false);
    // (a|b)* with an a at the place n from the end needs 2 ** n.
    for (const n of [2, 5, 8]) expect(stateCount(textsMatched(`[ab]*a[ab]{${n - 1}}`))).toBe(2 ** n);
  });

  test("know their lengths", () => {
    expect(lengthRange(textsMatched("a{3,9}|b"))).toEqual({ shortest: 1, longest: 9 });
    expect(lengthRange(textsMatched("ab(cd)*"))).toEqual({ shortest: 2, longest: null });
    expect(lengthRange(lengthBetween(4, 700))).toEqual({ shortest: 4, longest: 700 });
    expect(lengthRange(intersection(textsMatched("(abc)*"), lengthBetween(4, 10)))).toEqual({ shortest: 6, longest: 9 });
  });

  test("of listed texts accept these only", () => {
    const words = [...new Set(WORDS.slice(0, 100))];
    expect(agree(anyOf(words), (word) => words.includes(word))).toEqual([]);
    expect(matches(anyOf(["", "né"]), "")).toBe(true);
    expect(isEmpty(anyOf([]))).toBe(true);
  });

  test("say so when they grow beyond all measure", () => {
    expect(() => textsMatched("(a|b)*a(a|b){30}")).toThrow(TooComplex);
    expect(() => textsMatched("((a{1000}){1000}){1000}")).toThrow(TooComplex);
  });
});

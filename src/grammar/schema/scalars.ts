/** The languages of scalar values: strings (what is between the quotes) and number literals. */
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
  TooComplex,
  union,
} from "../automata/dfa.ts";
import { compared, decimalOf, FRACTIONS, INTEGERS, multiplesOf, NUMBERS, otherPlain, otherThan, spelled } from "./decimal.ts";
import type { Condition, Formula } from "./formula.ts";
import type { Patterns } from "./patterns.ts";
import type { Specialized } from "./specialize.ts";

/** Strings of a language, or of any content (null), that have so many characters. */
export interface TextPart {
  dfa: Dfa | null;
  least: number;
  most: number | null;
}

const ANY: TextPart = { dfa: null, least: 0, most: null };
const MAX_PARTS = 64;

/** The strings that satisfy a formula, as a union. Throws `TooComplex` or `RegexProblem`. */
export function textParts(f: Specialized, patterns: Patterns): TextPart[] {
  const parts = merged(partsOf(f, patterns).map(withoutIdleLimits));
  return parts.filter((part) => !isNothing(part));
}

/** The same as one language. */
export function textLanguage(f: Specialized, patterns: Patterns): Dfa {
  return textParts(f, patterns)
    .map(({ dfa, least, most }) =>
      intersection(dfa ?? EVERYTHING, isUnlimited(least, most) ? EVERYTHING : lengthBetween(least, most)),
    )
    .reduce(union, EMPTY);
}

function isUnlimited(least: number, most: number | null): boolean {
  return least === 0 && most === null;
}

function partsOf(f: Formula, patterns: Patterns): TextPart[] {
  switch (f.kind) {
    case "false":
      return [];
    case "and":
      return f.parts.map((part) => partsOf(part, patterns)).reduce(intersectParts, [ANY]);
    case "or":
      return limited(f.parts.flatMap((part) => partsOf(part, patterns)));
    case "length":
      return [{ dfa: null, least: f.least, most: f.most }];
    case "pattern": {
      const dfa = patterns.get(f.pattern, f.whole);
      return [{ ...ANY, dfa: f.negated ? difference(EVERYTHING, dfa) : dfa }];
    }
    case "values": {
      const dfa = anyOf(f.values.map(String));
      return [{ ...ANY, dfa: f.negated ? difference(EVERYTHING, dfa) : dfa }];
    }
    default:
      return [ANY];
  }
}

function intersectParts(a: TextPart[], b: TextPart[]): TextPart[] {
  const parts = a.flatMap((x) =>
    b.map((y) => ({
      dfa: x.dfa && y.dfa ? intersection(x.dfa, y.dfa) : (x.dfa ?? y.dfa),
      least: Math.max(x.least, y.least),
      most: x.most === null ? y.most : y.most === null ? x.most : Math.min(x.most, y.most),
    })),
  );
  return limited(parts.filter((part) => !isNothing(part)));
}

function limited(parts: TextPart[]): TextPart[] {
  if (parts.length > MAX_PARTS) throw new TooComplex("too many alternatives of strings");
  return parts;
}

function isNothing({ dfa, least, most }: TextPart): boolean {
  return (most !== null && least > most) || (dfa !== null && isEmpty(dfa));
}

/** Limits that the language keeps by itself go; others become part of it. */
function withoutIdleLimits(part: TextPart): TextPart {
  const { dfa, least, most } = part;
  if (dfa === null || isNothing(part)) return part;
  if (isEverything(dfa)) return { ...part, dfa: null };
  const { shortest, longest } = lengthRange(dfa);
  if (shortest >= least && (most === null || (longest !== null && longest <= most))) return { ...ANY, dfa };
  return { ...ANY, dfa: intersection(dfa, lengthBetween(least, most)) };
}

/** One language in place of several, and nothing beside what allows everything. */
function merged(parts: TextPart[]): TextPart[] {
  if (parts.some(({ dfa, least, most }) => dfa === null && isUnlimited(least, most))) return [ANY];
  const languages = parts.flatMap(({ dfa }) => (dfa ? [dfa] : []));
  const ranges = parts.filter(({ dfa }) => dfa === null);
  return languages.length === 0 ? ranges : [...ranges, { ...ANY, dfa: languages.reduce(union) }];
}

/** Number literals that satisfy a formula. Throws `TooComplex`. */
export function numberLanguage(f: Specialized): Dfa {
  switch (f.kind) {
    case "false":
      return EMPTY;
    case "and":
      return f.parts.map(numberLanguage).reduce(intersection);
    case "or":
      return f.parts.map(numberLanguage).reduce(union);
    case "integer":
      return f.negated ? FRACTIONS : INTEGERS;
    case "multiple": {
      const dfa = multiplesOf(decimalOf(f.of));
      return f.negated ? otherPlain(dfa) : intersection(dfa, NUMBERS);
    }
    case "bound":
      return intersection(compared(decimalOf(f.at), relationOf(f)), NUMBERS);
    case "values": {
      const numbers = f.values.map(Number);
      return f.negated ? otherThan(numbers) : spelled(numbers);
    }
    default:
      return NUMBERS;
  }
}

function relationOf({ relation }: Extract<Condition, { kind: "bound" }>): (order: -1 | 0 | 1) => boolean {
  return (order) => (order === 0 ? relation.endsWith("=") : order < 0 ? relation.startsWith("<") : relation.startsWith(">"));
}

/** Numbers as they are written: exact decimals, and the languages of number literals that satisfy what schemas ask. */
import { Alphabet } from "../automata/alphabet.ts";
import { charsOf } from "../automata/char-set.ts";
import { anyOf, type Dfa, difference, explore, TooComplex } from "../automata/dfa.ts";
import { textsMatched } from "../regex/language.ts";

/** units / 10 ** scale */
export interface Decimal {
  units: bigint;
  scale: number;
}

/** The decimal that the shortest spelling of a number says. */
export function decimalOf(value: number): Decimal {
  const [, sign, whole, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/.exec(String(value)) ?? [];
  if (whole === undefined) throw new RangeError(`${value} is no decimal`);
  const units = BigInt(`${sign}${whole}${fraction}`);
  const scale = fraction.length - Number(exponent);
  return scale >= 0 ? reduce({ units, scale }) : { units: units * 10n ** BigInt(-scale), scale: 0 };
}

function reduce({ units, scale }: Decimal): Decimal {
  while (scale > 0 && units % 10n === 0n) {
    units /= 10n;
    scale--;
  }
  return { units, scale };
}

/** Negative, zero or positive as a is below, at or above b. */
export function compare(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const difference = a.units * 10n ** BigInt(scale - a.scale) - b.units * 10n ** BigInt(scale - b.scale);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

export function isMultiple(value: Decimal, of: Decimal): boolean {
  const scale = Math.max(value.scale, of.scale);
  return (value.units * 10n ** BigInt(scale - value.scale)) % (of.units * 10n ** BigInt(scale - of.scale)) === 0n;
}

/** Digits are bounded so that every literal is a finite double, and no model counts for ever. */
export const NUMBERS = textsMatched("-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?");
export const INTEGERS = textsMatched("0|-?[1-9][0-9]{0,17}");
/** Without an exponent: what constraints can be told of. */
const PLAIN = "-?(0|[1-9][0-9]{0,17})(\\.[0-9]{1,17})?";
const PLAIN_NUMBERS = textsMatched(PLAIN);
export const FRACTIONS = textsMatched("-?(0|[1-9][0-9]{0,17})\\.[0-9]{0,16}[1-9]0{0,16}");

/** The largest remainder that automata count to. */
const MAX_DIVISOR = 20_000n;

/** What one learns of a literal's magnitude while reading its digits. */
interface Fold<S> {
  start: S;
  whole(state: S, digit: number): S;
  fraction(state: S, digit: number): S;
  accepts(state: S, negative: boolean): boolean;
  name(state: S): string;
}

const DIGITS = [..."0123456789"];
const LITERAL = Alphabet.of([...DIGITS.map(charsOf), charsOf("-"), charsOf(".")]);
const SAMPLES = LITERAL.samples().map((code) => String.fromCodePoint(code));

interface Reading<S> {
  phase: "start" | "sign" | "zero" | "whole" | "point" | "fraction";
  negative: boolean;
  state: S;
}

/** The plain literals that a fold accepts. */
function literals<S>(fold: Fold<S>): Dfa {
  const next = (at: Reading<S>, char: string): Reading<S> | null => {
    const { phase, state } = at;
    if (char === "-") return phase === "start" ? { ...at, phase: "sign", negative: true } : null;
    if (char === ".") return phase === "zero" || phase === "whole" ? { ...at, phase: "point" } : null;
    if (char < "0" || char > "9") return null;
    const digit = Number(char);
    if (phase === "point" || phase === "fraction") return { ...at, phase: "fraction", state: fold.fraction(state, digit) };
    if (phase === "zero") return null;
    if (phase === "whole") return { ...at, state: fold.whole(state, digit) };
    return { ...at, phase: digit === 0 ? "zero" : "whole", state: fold.whole(state, digit) };
  };
  return explore<Reading<S>>(
    LITERAL,
    { phase: "start", negative: false, state: fold.start },
    ({ phase, negative, state }) => `${phase}${negative ? "-" : "+"}${fold.name(state)}`,
    (at, charClass) => next(at, SAMPLES[charClass]!),
    ({ phase, negative, state }) =>
      (phase === "zero" || phase === "whole" || phase === "fraction") && fold.accepts(state, negative),
  );
}

/** Literals whose relation to the bound is wanted: -1 below, 0 equal, 1 above. */
export function compared(bound: Decimal, wanted: (relation: -1 | 0 | 1) => boolean): Dfa {
  const text = (bound.units < 0n ? -bound.units : bound.units).toString().padStart(bound.scale + 1, "0");
  const whole = [...text.slice(0, text.length - bound.scale)].map(Number);
  const fraction = [...text.slice(text.length - bound.scale)].map(Number);
  interface State {
    /** Digits read of the whole part or, with the point behind, of the fraction; no further than the bound has. */
    count: number;
    inFraction: boolean;
    /** Of the digits so far to those of the bound. */
    relation: number;
    isZero: boolean;
  }
  const afterWhole = ({ count, relation }: State) => (count === whole.length ? relation : Math.sign(count - whole.length));
  const step = (at: State, digit: number, digits: readonly number[], relation: number, count: number): State => ({
    ...at,
    count: Math.min(count + 1, digits.length + 1),
    relation: relation !== 0 ? relation : Math.sign(digit - (digits[count] ?? 0)),
    isZero: at.isZero && digit === 0,
  });
  return literals<State>({
    start: { count: 0, inFraction: false, relation: 0, isZero: true },
    whole: (at, digit) => step(at, digit, whole, at.count >= whole.length ? 1 : at.relation, at.count),
    fraction: (at, digit) =>
      at.inFraction
        ? step(at, digit, fraction, at.relation, at.count)
        : { ...step(at, digit, fraction, afterWhole(at), 0), inFraction: true },
    accepts: (at, negative) => {
      let relation = at.inFraction ? at.relation : afterWhole(at);
      const read = at.inFraction ? at.count : 0;
      if (relation === 0 && read < fraction.length) relation = -1;
      if (bound.units < 0n) relation = negative && !at.isZero ? -relation : 1;
      else if (negative && !at.isZero) relation = -1;
      return wanted(relation as -1 | 0 | 1);
    },
    name: ({ count, inFraction, relation, isZero }) => `${count}${inFraction ? "f" : "w"}${relation}${isZero ? "z" : ""}`,
  });
}

/** Literals that are a whole number of times `divisor`, which is positive. Throws `TooComplex`. */
export function multiplesOf({ units, scale }: Decimal): Dfa {
  if (units > MAX_DIVISOR) throw new TooComplex(`multiples of numbers with more than ${MAX_DIVISOR} units are not counted`);
  const divisor = Number(units);
  interface State {
    remainder: number;
    /** Digits of the fraction so far; those beyond the divisor's must be zero. */
    digits: number;
    fails: boolean;
  }
  return literals<State>({
    start: { remainder: 0, digits: 0, fails: false },
    whole: (at, digit) => ({ ...at, remainder: (at.remainder * 10 + digit) % divisor }),
    fraction: ({ remainder, digits, fails }, digit) =>
      digits < scale
        ? { remainder: (remainder * 10 + digit) % divisor, digits: digits + 1, fails }
        : { remainder, digits, fails: fails || digit !== 0 },
    accepts: ({ remainder, digits, fails }) => {
      let rest = remainder;
      for (let i = digits; i < scale; i++) rest = (rest * 10) % divisor;
      return !fails && rest === 0;
    },
    name: ({ remainder, digits, fails }) => (fails ? "x" : `${remainder},${digits}`),
  });
}

/** Every spelling without an exponent that says none of the values. */
export function otherThan(values: readonly number[]): Dfa {
  return values.reduce(
    (rest, value) =>
      difference(
        rest,
        compared(decimalOf(value), (relation) => relation === 0),
      ),
    PLAIN_NUMBERS,
  );
}

export function spelled(values: readonly number[]): Dfa {
  return anyOf(values.map((value) => JSON.stringify(value)));
}

export function otherPlain(dfa: Dfa): Dfa {
  return difference(PLAIN_NUMBERS, dfa);
}

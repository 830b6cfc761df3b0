/** Deterministic automata over code points, and the algebra of the languages that they accept. */
import { Alphabet, WHOLE_ALPHABET } from "./alphabet.ts";
import type { CharSet } from "./char-set.ts";
import { minimize } from "./minimize.ts";

/** An automaton grew beyond what is worth computing. */
export class TooComplex extends Error {
  override readonly name = "TooComplex";
}

const MAX_STATES = 20_000;
const MAX_CELLS = 4_000_000;

/** State 0 is where it begins. Minimal, so that equal languages over equal alphabets have equal tables. */
export interface Dfa {
  alphabet: Alphabet;
  /** Next state by state and class: `table[state * alphabet.width + class]`; -1: no way on. */
  table: Int32Array;
  accepting: Uint8Array;
}

export function stateCount({ accepting }: Dfa): number {
  return accepting.length;
}

/** The automaton whose states are keys, found by following `next` from `start`. Null is no way on. Throws `TooComplex`. */
export function explore<K>(
  alphabet: Alphabet,
  start: K,
  name: (key: K) => string | number,
  next: (key: K, charClass: number) => K | null,
  accepts: (key: K) => boolean,
): Dfa {
  const keys: K[] = [start];
  const ids = new Map<string | number, number>([[name(start), 0]]);
  const rows: Int32Array[] = [];
  const { width } = alphabet;
  for (let state = 0; state < keys.length; state++) {
    if (keys.length > MAX_STATES || keys.length * width > MAX_CELLS) throw new TooComplex("too many states");
    const row = new Int32Array(width).fill(-1);
    for (let charClass = 0; charClass < width; charClass++) {
      const key = next(keys[state]!, charClass);
      if (key === null) continue;
      const called = name(key);
      let id = ids.get(called);
      if (id === undefined) {
        id = keys.length;
        ids.set(called, id);
        keys.push(key);
      }
      row[charClass] = id;
    }
    rows.push(row);
  }
  const table = new Int32Array(keys.length * width);
  rows.forEach((row, state) => {
    table.set(row, state * width);
  });
  return minimize({ alphabet, table, accepting: Uint8Array.from(keys, (key) => (accepts(key) ? 1 : 0)) });
}

export const EMPTY: Dfa = { alphabet: WHOLE_ALPHABET, table: Int32Array.of(-1), accepting: Uint8Array.of(0) };
export const EVERYTHING: Dfa = { alphabet: WHOLE_ALPHABET, table: Int32Array.of(0), accepting: Uint8Array.of(1) };

type Combine = (a: boolean, b: boolean) => boolean;

/** -1 as a state stands for: can accept nothing more. */
function product(a: Dfa, b: Dfa, combine: Combine): Dfa {
  const alphabet = Alphabet.join(a.alphabet, b.alphabet);
  const samples = alphabet.samples();
  const inA = samples.map((char) => a.alphabet.classOf(char));
  const inB = samples.map((char) => b.alphabet.classOf(char));
  const follow = ({ table, alphabet: { width } }: Dfa, state: number, charClass: number) =>
    state < 0 ? -1 : table[state * width + charClass]!;
  const accepts = ({ accepting }: Dfa, state: number) => state >= 0 && accepting[state] === 1;
  const columns = stateCount(b) + 1;
  const dead = !combine(false, false);
  return explore<[number, number]>(
    alphabet,
    [0, 0],
    ([x, y]) => (x + 1) * columns + (y + 1),
    ([x, y], charClass) => {
      const to: [number, number] = [follow(a, x, inA[charClass]!), follow(b, y, inB[charClass]!)];
      if (to[0] < 0 && to[1] < 0 && dead) return null;
      // A side that has ended decides alone where the other cannot change the result.
      if (to[0] < 0 && !combine(false, true) && dead) return null;
      if (to[1] < 0 && !combine(true, false) && dead) return null;
      return to;
    },
    ([x, y]) => combine(accepts(a, x), accepts(b, y)),
  );
}

export function intersection(a: Dfa, b: Dfa): Dfa {
  if (a === b || b === EVERYTHING) return a;
  return a === EVERYTHING ? b : product(a, b, (x, y) => x && y);
}

export function union(a: Dfa, b: Dfa): Dfa {
  if (a === b || b === EMPTY) return a;
  return a === EMPTY ? b : product(a, b, (x, y) => x || y);
}

export function difference(a: Dfa, b: Dfa): Dfa {
  return b === EMPTY ? a : product(a, b, (x, y) => x && !y);
}

export function isEmpty({ accepting }: Dfa): boolean {
  // A minimal automaton has no state from which nothing is accepted, but for a first one.
  return accepting.length === 1 && accepting[0] === 0;
}

export function isEverything(dfa: Dfa): boolean {
  return stateCount(dfa) === 1 && dfa.accepting[0] === 1 && dfa.table.every((to) => to === 0);
}

/** Whether the text is accepted. A lone surrogate is in no text. */
export function matches({ alphabet, table, accepting }: Dfa, text: string): boolean {
  let state = 0;
  for (const char of text) {
    const charClass = alphabet.classOf(char.codePointAt(0)!);
    state = charClass < 0 ? -1 : table[state * alphabet.width + charClass]!;
    if (state < 0) return false;
  }
  return accepting[state] === 1;
}

/** The ways on from a state: which characters lead where. */
export function waysFrom({ alphabet, table }: Dfa, state: number): { chars: CharSet; to: number }[] {
  const row = table.subarray(state * alphabet.width, (state + 1) * alphabet.width);
  const targets = [...new Set(row)].filter((to) => to >= 0);
  return targets.map((to) => ({ chars: alphabet.charsOf((name) => row[name] === to), to }));
}

/** The texts of `least` to `most` characters. */
export function lengthBetween(least: number, most: number | null): Dfa {
  const cap = most ?? least;
  if (most !== null && most < least) return EMPTY;
  if (cap >= MAX_STATES) throw new TooComplex("too long");
  return {
    alphabet: WHOLE_ALPHABET,
    table: Int32Array.from({ length: cap + 1 }, (_, length) => (length < cap ? length + 1 : most === null ? cap : -1)),
    accepting: Uint8Array.from({ length: cap + 1 }, (_, length) => (length >= least ? 1 : 0)),
  };
}

/** Lengths of the shortest and the longest accepted text; null: there is no longest. Only of a language that is not empty. */
export function lengthRange(dfa: Dfa): { shortest: number; longest: number | null } {
  const { width } = dfa.alphabet;
  const count = stateCount(dfa);
  let layer = new Set([0]);
  let shortest = -1;
  let longest = 0;
  // A way longer than there are states goes in circles, and every state leads to an end.
  for (let length = 0; length <= count && layer.size > 0; length++) {
    const next = new Set<number>();
    for (const state of layer) {
      if (dfa.accepting[state] === 1) {
        if (shortest < 0) shortest = length;
        longest = length;
      }
      for (const to of dfa.table.subarray(state * width, (state + 1) * width)) if (to >= 0) next.add(to);
    }
    layer = next;
  }
  return { shortest, longest: layer.size > 0 ? null : longest };
}

/** Exactly these texts. */
export function anyOf(texts: readonly string[]): Dfa {
  interface Node {
    id: number;
    ends: boolean;
    next: Map<number, Node>;
  }
  let count = 0;
  const node = (): Node => ({ id: count++, ends: false, next: new Map() });
  const root = node();
  for (const text of texts) {
    let at = root;
    for (const char of text) {
      const code = char.codePointAt(0)!;
      let to = at.next.get(code);
      if (!to) {
        to = node();
        at.next.set(code, to);
      }
      at = to;
    }
    at.ends = true;
  }
  const codes = [...new Set(texts.flatMap((text) => [...text].map((char) => char.codePointAt(0)!)))];
  const alphabet = Alphabet.of(codes.map((code) => [code, code]));
  const samples = alphabet.samples();
  return explore<Node>(
    alphabet,
    root,
    ({ id }) => id,
    ({ next }, charClass) => next.get(samples[charClass]!) ?? null,
    ({ ends }) => ends,
  );
}

/** Sets of object keys. */
import { anyOf, type Dfa, difference, EVERYTHING, matches, union } from "../automata/dfa.ts";
import type { Patterns } from "./patterns.ts";

export class KeySet {
  /** Equal for equal sets that were made in the same way. */
  readonly name: string;
  /** The keys when they are few and known. */
  readonly names: readonly string[] | null;
  readonly #build: () => Dfa;
  #dfa: Dfa | null = null;

  constructor(name: string, names: readonly string[] | null, build: () => Dfa) {
    this.name = name;
    this.names = names;
    this.#build = build;
  }

  static of(names: readonly string[]): KeySet {
    const sorted = [...new Set(names)].sort();
    return new KeySet(JSON.stringify(sorted), sorted, () => anyOf(sorted));
  }

  static matching(pattern: string, patterns: Patterns): KeySet {
    return new KeySet(`/${pattern}/`, null, () => patterns.get(pattern));
  }

  /** What `additionalProperties` speaks of. */
  static otherThan(names: readonly string[], sources: readonly string[], patterns: Patterns): KeySet {
    const [listed, matched] = [[...names].sort(), [...sources].sort()];
    return new KeySet(`!${JSON.stringify([listed, matched])}`, null, () => {
      return difference(EVERYTHING, matched.map((source) => patterns.get(source)).reduce(union, anyOf(listed)));
    });
  }

  /** Throws `TooComplex` or `RegexProblem`. */
  get dfa(): Dfa {
    this.#dfa ??= this.#build();
    return this.#dfa;
  }

  has(key: string): boolean {
    return this.names ? this.names.includes(key) : matches(this.dfa, key);
  }
}

export const ALL_KEYS = new KeySet("*", null, () => EVERYTHING);

import type { Dfa } from "../automata/dfa.ts";
import { textsMatched, textsWithMatch } from "../regex/language.ts";

/** The languages of a schema's patterns, each made once. Throws `RegexProblem` or `TooComplex`. */
export class Patterns {
  readonly #whole = new Map<string, Dfa>();
  readonly #somewhere = new Map<string, Dfa>();

  /** Texts that the pattern matches somewhere or, with `whole`, altogether. */
  get(pattern: string, whole = false): Dfa {
    const known = whole ? this.#whole : this.#somewhere;
    let dfa = known.get(pattern);
    if (!dfa) {
      dfa = whole ? textsMatched(pattern) : textsWithMatch(pattern);
      known.set(pattern, dfa);
    }
    return dfa;
  }
}

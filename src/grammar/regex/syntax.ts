/** What a pattern consists of. */
import type { CharSet } from "../automata/char-set.ts";

export type RegexNode =
  | { type: "chars"; set: CharSet }
  | { type: "sequence"; items: readonly RegexNode[] }
  | { type: "choice"; options: readonly RegexNode[] }
  | { type: "repeat"; node: RegexNode; least: number; most: number | null }
  /** `^` and `$`. */
  | { type: "start" }
  | { type: "end" }
  | { type: "lookahead"; node: RegexNode; negative: boolean };

/** The pattern is wrong, or uses what regular languages do not have or this parser does not know. */
export class RegexProblem extends Error {
  override readonly name = "RegexProblem";
}

/** From a pattern to an automaton: Thompson's construction, then that of subsets. */
import { Alphabet } from "../automata/alphabet.ts";
import { ANY_CHAR, type CharSet } from "../automata/char-set.ts";
import { type Dfa, explore, TooComplex } from "../automata/dfa.ts";
import { type RegexNode, RegexProblem } from "./syntax.ts";

const MAX_NFA_STATES = 100_000;

/** Ways that cost no character: always open, or only before the first or after the last one. */
type Condition = "always" | "start" | "end";

class Nfa {
  readonly moves: { set: number; to: number }[][] = [];
  readonly free: { when: Condition; to: number }[][] = [];
  readonly sets: CharSet[] = [];
  readonly #setIds = new Map<string, number>();

  state(): number {
    if (this.moves.length >= MAX_NFA_STATES) throw new TooComplex("too many states");
    this.free.push([]);
    return this.moves.push([]) - 1;
  }

  move(from: number, set: CharSet, to: number): void {
    const key = set.join();
    let id = this.#setIds.get(key);
    if (id === undefined) {
      id = this.sets.push(set) - 1;
      this.#setIds.set(key, id);
    }
    this.moves[from]!.push({ set: id, to });
  }

  pass(from: number, to: number, when: Condition = "always"): void {
    this.free[from]!.push({ when, to });
  }

  /** Adds the ways of `node` from a state; returns where they end. */
  add(node: RegexNode, from: number): number {
    switch (node.type) {
      case "chars": {
        const to = this.state();
        this.move(from, node.set, to);
        return to;
      }
      case "sequence":
        return node.items.reduce((at, item) => this.add(item, at), from);
      case "choice": {
        const to = this.state();
        for (const option of node.options) {
          const begin = this.state();
          this.pass(from, begin);
          this.pass(this.add(option, begin), to);
        }
        return to;
      }
      case "repeat":
        return this.#repeat(node.node, node.least, node.most, from);
      case "start":
      case "end": {
        const to = this.state();
        this.pass(from, to, node.type);
        return to;
      }
      case "lookahead":
        throw new RegexProblem("Lookahead is supported at the beginning of a pattern only, after ^.");
    }
  }

  #repeat(node: RegexNode, least: number, most: number | null, from: number): number {
    let at = from;
    for (let i = 0; i < least; i++) at = this.add(node, at);
    if (most === null) {
      const loop = this.state();
      this.pass(at, loop);
      this.pass(this.add(node, loop), loop);
      return loop;
    }
    const to = this.state();
    this.pass(at, to);
    for (let i = least; i < most; i++) {
      at = this.add(node, at);
      this.pass(at, to);
    }
    return to;
  }
}

/** The texts that the node matches: from the first character to the last, or (`search`) anywhere. Throws `TooComplex`. */
export function buildDfa(node: RegexNode, search: { before: boolean; after: boolean }): Dfa {
  const nfa = new Nfa();
  const begin = nfa.state();
  if (search.before) nfa.move(begin, ANY_CHAR, begin);
  const entry = nfa.state();
  nfa.pass(begin, entry);
  const matched = nfa.add(node, entry);
  const end = nfa.state();
  nfa.pass(matched, end);
  if (search.after) nfa.move(end, ANY_CHAR, end);
  return determinize(nfa, begin, end);
}

interface Subset {
  states: readonly number[];
  name: string;
}

function determinize(nfa: Nfa, begin: number, end: number): Dfa {
  const alphabet = Alphabet.of(nfa.sets);
  const classes = nfa.sets.map((set) => alphabet.classesIn(set));
  const close = (states: Iterable<number>, open: readonly Condition[]): number[] => {
    const seen = new Set(states);
    for (const state of seen) for (const { when, to } of nfa.free[state]!) if (open.includes(when)) seen.add(to);
    return [...seen];
  };
  const subset = (states: number[], prefix: string): Subset => {
    // Only states from which something leads on, or at which it may end, tell subsets apart.
    const telling = states.filter(
      (state) => nfa.moves[state]!.length > 0 || state === end || nfa.free[state]!.some(({ when }) => when === "end"),
    );
    telling.sort((a, b) => a - b);
    return { states: telling, name: prefix + telling.join() };
  };
  const first = subset(close([begin], ["always", "start"]), "^");
  return explore<Subset>(
    alphabet,
    first,
    ({ name }) => name,
    ({ states }, charClass) => {
      const to = new Set<number>();
      for (const state of states) for (const move of nfa.moves[state]!) if (classes[move.set]!.has(charClass)) to.add(move.to);
      return to.size === 0 ? null : subset(close(to, ["always"]), "");
    },
    (key) => close(key.states, key === first ? ["always", "start", "end"] : ["always", "end"]).includes(end),
  );
}

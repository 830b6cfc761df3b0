/** Context-free grammars as rules, and their text in xgrammar's EBNF. */
import { type CharSet, intersect, intervalsOf } from "./automata/char-set.ts";
import { type Dfa, TooComplex, waysFrom } from "./automata/dfa.ts";
import { type ByteSet, byteSequences } from "./automata/utf8.ts";

export type Element = { text: string } | { byte: ByteSet } | { rule: string } | { ebnf: string };
export type Alternative = readonly Element[];

const MAX_RULES = 50_000;
const MOST_JOINED = 1000;
/** Sequences of bytes that are written where they are needed. */
const MOST_INLINE = 3;

export class Rules {
  readonly #rules = new Map<string, Alternative[]>();
  #next = 0;

  get count(): number {
    return this.#rules.size;
  }

  /** A name that no rule has yet. */
  name(stem: string): string {
    return `${stem}_${this.#next++}`;
  }

  has(name: string): boolean {
    return this.#rules.has(name);
  }

  /** Throws `TooComplex`. */
  set(name: string, alternatives: readonly Alternative[]): string {
    if (this.#rules.size >= MAX_RULES) throw new TooComplex("the grammar has too many rules");
    this.#rules.set(name, [...alternatives]);
    return name;
  }

  /** The ways to write one character of a set. Beyond ASCII, xgrammar's classes of characters are classes of bytes. */
  chars(set: CharSet): Alternative[] {
    const ways = byteSequences(set).map((sequence) => sequence.map((byte) => ({ byte })));
    if (ways.length <= MOST_INLINE) return ways;
    const ascii = intersect(set, [0, 0x7f]);
    const name = `u_${set.join("_")}`;
    if (!this.#rules.has(name)) this.set(name, ascii.length > 0 ? ways.slice(1) : ways);
    return [...(ascii.length > 0 ? [ways[0]!] : []), [{ rule: name }]];
  }

  /**
   * A rule for the texts of an automaton, each followed by `tail`; characters are written by `write`. What follows is part of the
   * rules: a parser that is at the end of a rule cannot tell beforehand which tokens fit.
   */
  automaton(dfa: Dfa, tail: Alternative, write: (chars: CharSet) => Alternative[]): string {
    const stem = this.name("d");
    const nameOf = (state: number) => `${stem}_${state}`;
    for (let state = 0; state < dfa.accepting.length; state++) {
      const ways = waysFrom(dfa, state).flatMap(({ chars, to }) => {
        return write(chars).map((written) => [...written, { rule: nameOf(to) }]);
      });
      this.set(nameOf(state), dfa.accepting[state] === 1 ? [tail, ...ways] : ways);
    }
    return nameOf(0);
  }

  /** The text of what can be reached from `root` and has an end; null when the root has none. */
  print(root: string): string | null {
    const rules = this.#ending();
    if (!rules.has(root)) return null;
    const reached = new Set([root]);
    const lines: string[] = [];
    for (const name of reached) {
      const alternatives = rules.get(name)!.map((alternative) => joined(alternative, rules));
      for (const alternative of alternatives) for (const element of alternative) if ("rule" in element) reached.add(element.rule);
      lines.push(`${name === root ? "root" : name} ::= ${alternatives.map((one) => printAlternative(one, root)).join(" | ")}`);
    }
    return lines.join("\n");
  }

  /** The rules from which some text can be made, with those of their alternatives. */
  #ending(): Map<string, Alternative[]> {
    const users = new Map<string, string[]>();
    for (const [name, alternatives] of this.#rules) {
      for (const element of alternatives.flat()) {
        if (!("rule" in element)) continue;
        const list = users.get(element.rule);
        if (list) list.push(name);
        else users.set(element.rule, [name]);
      }
    }
    const ending = new Set<string>();
    const ends = (alternative: Alternative) => alternative.every((element) => !("rule" in element) || ending.has(element.rule));
    const open = [...this.#rules.keys()];
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      if (ending.has(name) || !this.#rules.get(name)!.some(ends)) continue;
      ending.add(name);
      open.push(...(users.get(name) ?? []));
    }
    return new Map([...ending].map((name) => [name, this.#rules.get(name)!.filter(ends)]));
  }
}

/** Where an alternative goes on with a rule of one text only, that text is put in its place. */
function joined(alternative: Alternative, rules: ReadonlyMap<string, Alternative[]>): Alternative {
  const result = [...alternative];
  for (let steps = 0; steps < MOST_JOINED; steps++) {
    const last = result.at(-1);
    if (!last || !("rule" in last)) break;
    const [only, other] = rules.get(last.rule)!;
    if (!only || other || only.length === 0 || !("text" in only[0]!)) break;
    result.splice(-1, 1, ...only);
  }
  return result;
}

function printAlternative(alternative: Alternative, root: string): string {
  const parts: string[] = [];
  let text = "";
  const flush = () => {
    if (text !== "") parts.push(`"${[...text].map(escapeChar).join("")}"`);
    text = "";
  };
  for (const element of alternative) {
    if ("text" in element) text += element.text;
    else {
      flush();
      if ("rule" in element) parts.push(element.rule === root ? "root" : element.rule);
      else parts.push("ebnf" in element ? element.ebnf : printByte(element.byte));
    }
  }
  flush();
  return parts.length === 0 ? '""' : parts.join(" ");
}

const printedBytes = new WeakMap<ByteSet, string>();

/** A class of one byte beyond ASCII would be taken for a character: it is said twice. */
function printByte(set: ByteSet): string {
  let printed = printedBytes.get(set);
  if (printed === undefined) {
    const one = (byte: number) => `\\x${byte.toString(16).padStart(2, "0")}`;
    const intervals = intervalsOf(set).map(([low, high]) => (low === high ? one(low) : `${one(low)}-${one(high)}`));
    printed = `[${intervals.join("")}${set.length === 2 && set[0] === set[1] ? intervals[0] : ""}]`;
    printedBytes.set(set, printed);
  }
  return printed;
}

/** What is printable in ASCII as it is, everything else by its number. */
function escapeChar(char: string): string {
  if (char === '"' || char === "\\") return `\\${char}`;
  const code = char.codePointAt(0)!;
  if (code >= 0x20 && code < 0x7f) return char;
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

/**
 * Grammars in EBNF as their authors write them, of xgrammar's and llama.cpp's kind, to rules. What xgrammar itself would read
 * wrongly (characters beyond ASCII in classes) or end the process over (mistakes) never gets to it.
 */
import type { Alternative, Rules } from "../rules.ts";
import { type PlacedToken, readTokens, type Token } from "./ebnf-tokens.ts";
import { GrammarProblem } from "./problem.ts";

const MAX_DEPTH = 200;

/** The rule `root` of the grammar. Throws `GrammarProblem` or `TooComplex`. */
export function writeEbnf(source: string, rules: Rules): { rule: string } {
  return new EbnfReader(source, rules).read();
}

class EbnfReader {
  readonly #tokens: readonly PlacedToken[];
  readonly #rules: Rules;
  readonly #stem: string;
  readonly #defined = new Set<string>();
  /** Names that are used, with the line. */
  readonly #used = new Map<string, number>();
  #at = 0;
  #depth = 0;

  constructor(source: string, rules: Rules) {
    this.#tokens = readTokens(source);
    this.#rules = rules;
    this.#stem = rules.name("g");
  }

  read(): { rule: string } {
    while (this.#peek().type !== "end") this.#rule();
    this.#used.set("root", this.#peek().line);
    for (const [name, line] of this.#used) {
      if (!this.#defined.has(name)) throw new GrammarProblem(`The grammar has no rule '${name}' (used in line ${line}).`);
    }
    return { rule: this.#nameOf("root") };
  }

  #nameOf(name: string): string {
    // Names may have characters that xgrammar's have not.
    return `${this.#stem}_${name.replace(/[^A-Za-z0-9]/g, (char) => `_${char.charCodeAt(0).toString(16)}_`)}`;
  }

  #rule(): void {
    const token = this.#next();
    if (token.type !== "name" || this.#peek().type !== "::=") throw this.#problem("a rule begins with its name and ::=");
    this.#next();
    if (this.#defined.has(token.value)) throw this.#problem(`there are two rules '${token.value}'`);
    this.#defined.add(token.value);
    this.#rules.set(this.#nameOf(token.value), this.#choice());
  }

  #choice(): Alternative[] {
    if (++this.#depth > MAX_DEPTH) throw this.#problem("groups are nested too deeply");
    const options = [this.#sequence()];
    while (this.#peek().type === "|") {
      this.#next();
      options.push(this.#sequence());
    }
    this.#depth--;
    return options;
  }

  #sequence(): Alternative {
    const items: Alternative[] = [];
    for (;;) {
      const { type } = this.#peek();
      const endsRule = type === "name" && this.#tokens[this.#at + 1]?.type === "::=";
      if (endsRule || type === "end" || type === "|" || type === ")") return items.flat();
      const item = this.#item();
      const next = this.#peek();
      if (next.type !== "repeat") items.push(item);
      else {
        this.#next();
        items.push(this.#repeated(item, next));
        if (this.#peek().type === "repeat") throw this.#problem("there are two repetitions in a row");
      }
    }
  }

  #item(): Alternative {
    const token = this.#next();
    switch (token.type) {
      case "text":
        return [{ text: token.value }];
      case "chars":
        return this.#group(this.#rules.chars(token.set));
      case "name":
        if (!this.#used.has(token.value)) this.#used.set(token.value, token.line);
        return [{ rule: this.#nameOf(token.value) }];
      case "(": {
        const options = this.#choice();
        if (this.#next().type !== ")") throw this.#problem("a group is not closed");
        return this.#group(options);
      }
      default:
        throw this.#problem(`'${token.type === "repeat" ? "a repetition" : token.type}' is not expected`);
    }
  }

  #group(options: readonly Alternative[]): Alternative {
    if (options.length === 1) return options[0]!;
    return [{ rule: this.#rules.set(this.#rules.name("g"), options) }];
  }

  #repeated(item: Alternative, { least, most }: Extract<Token, { type: "repeat" }>): Alternative {
    const once: Alternative = item.length <= 1 ? item : [{ rule: this.#rules.set(this.#rules.name("g"), [item]) }];
    const required = Array<Alternative>(least).fill(once).flat();
    if (most === null) {
      const name = this.#rules.name("g");
      this.#rules.set(name, [[], [...once, { rule: name }]]);
      return [...required, { rule: name }];
    }
    let rest: Alternative = [];
    for (let i = least; i < most; i++) rest = [{ rule: this.#rules.set(this.#rules.name("g"), [[], [...once, ...rest]]) }];
    return [...required, ...rest];
  }

  #peek(): PlacedToken {
    return this.#tokens[this.#at]!;
  }

  #next(): PlacedToken {
    const token = this.#peek();
    if (token.type !== "end") this.#at++;
    return token;
  }

  #problem(what: string): GrammarProblem {
    const { line } = this.#tokens[Math.max(0, this.#at - 1)]!;
    return new GrammarProblem(`The grammar has a mistake in line ${line}: ${what}.`);
  }
}

/** How JSON is written: the spaces between its parts, and the spelling of strings. */
import { ANY_CHAR, type CharSet, charsOf, hasChar, intersect, intervalsOf, subtract } from "../automata/char-set.ts";
import type { Alternative, Element, Rules } from "../rules.ts";

const CONTROLS: CharSet = [0, 0x1f];
const ESCAPED = charsOf('"\\');
const PLAIN: CharSet = subtract(subtract(ANY_CHAR, CONTROLS), ESCAPED);
const SHORT_ESCAPES: Record<number, string> = { 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\" };

/** The ways to write one of the characters within a string: each in one way, but control characters by short and long escapes. */
export function writeInString(chars: CharSet, rules: Rules): Alternative[] {
  const result = [...rules.chars(intersect(chars, PLAIN))];
  for (const [code, text] of Object.entries(SHORT_ESCAPES)) if (hasChar(chars, Number(code))) result.push([{ text }]);
  const controls = intersect(chars, CONTROLS);
  if (controls.join() === CONTROLS.join()) result.push([{ ebnf: '"\\\\u00" [01] [0-9a-fA-F]' }]);
  else {
    for (const [low, high] of intervalsOf(controls)) {
      for (let code = low; code <= high; code++) {
        if (!(code in SHORT_ESCAPES)) result.push([{ text: `\\u${code.toString(16).padStart(4, "0")}` }]);
      }
    }
  }
  return result;
}

/** Strings that may be longer are not counted by rules: for large vocabularies, each length costs a pass over all tokens. */
export const COUNTED_LENGTH = 16;

/** How many characters a rule of the exact grammar takes at once. */
const BLOCK = 64;

/** The parts of JSON that every schema's grammar shares. */
export class JsonText {
  /** Nothing, a space, or a new line with its indentation. */
  readonly space: Element;
  /** Nothing or a space. */
  readonly gap: Element;
  /** The rest of a string of any content, with the closing quote. */
  readonly anyText: Element;
  /** Limits of lengths that the rules leave out, see `exact`. */
  readonly limits = new Set<number>();
  readonly #exact: boolean;
  readonly #rules: Rules;
  readonly #escape: Element;

  /** `exact`: long strings are counted as well, by rules that are fit for checking texts but not for masks. */
  constructor(rules: Rules, exact: boolean) {
    this.#rules = rules;
    this.#exact = exact;
    this.space = { rule: rules.set("space", [[], [{ text: " " }], [{ ebnf: '"\\n" [ \\t]{0,20}' }]]) };
    this.gap = { rule: rules.set("gap", [[], [{ text: " " }]]) };
    this.#escape = {
      rule: rules.set("escape", [
        [{ ebnf: '["\\\\/bfnrt]' }],
        [{ ebnf: '"u" ([0-9abcefABCEF] [0-9a-fA-F] | [dD] [0-7]) [0-9a-fA-F] [0-9a-fA-F]' }],
        [{ ebnf: '"u" [dD] [89abAB] [0-9a-fA-F] [0-9a-fA-F] "\\\\u" [dD] [c-fC-F] [0-9a-fA-F] [0-9a-fA-F]' }],
      ]),
    };
    this.anyText = { rule: "text" };
    rules.set("text", [[{ text: '"' }], ...this.#charThen([this.anyText])]);
  }

  /** The rest of a string of so many characters, with the closing quote. */
  textOf(least: number, most: number | null): Element {
    if (most === null) return this.#atLeast(least, this.anyText);
    if (this.#exact) return this.#atLeast(least, this.#blocks(most - least));
    if (most <= COUNTED_LENGTH) return this.#atLeast(least, this.#atMost(most - least));
    this.limits.add(most);
    return this.#atLeast(least, this.anyText);
  }

  /** So many characters, and then the rest. */
  #atLeast(count: number, rest: Element): Element {
    let element = rest;
    if (this.#exact && count > BLOCK) {
      const block = this.#block();
      for (; count > BLOCK; count -= BLOCK) element = this.#once(`${block.rule}_${nameOf(element)}`, () => [[block, element]]);
    }
    for (let i = 0; i < count; i++) {
      const next = element;
      element = this.#once(`c_${nameOf(next)}`, () => this.#charThen([next]));
    }
    return element;
  }

  #atMost(count: number): Element {
    let element: Element = { text: '"' };
    for (let i = 1; i <= count; i++) {
      const next = element;
      element = this.#once(`most_${i}`, () => [[{ text: '"' }], ...this.#charThen([next])]);
    }
    return element;
  }

  /** The same for many: as many blocks as there are room for, and less than one. */
  #blocks(count: number): Element {
    const rest = Math.min(count, BLOCK - 1);
    if (count < BLOCK) return this.#atMost(count);
    const block = this.#block();
    let element = this.#atMost(count % BLOCK);
    for (let blocks = 1; blocks <= Math.floor(count / BLOCK); blocks++) {
      const next = element;
      element = this.#once(`blocks_${blocks}_${count % BLOCK}`, () => [[block, next], [this.#atMost(rest)]]);
    }
    return element;
  }

  #block(): { rule: string } {
    const char = this.#once("char", () => this.#charThen([]));
    return this.#once("block", () => [Array<Element>(BLOCK).fill(char)]);
  }

  #once(name: string, alternatives: () => Alternative[]): { rule: string } {
    const rule = `text_${name}`;
    if (!this.#rules.has(rule)) this.#rules.set(rule, alternatives());
    return { rule };
  }

  #charThen(rest: Alternative): Alternative[] {
    return [...this.#rules.chars(PLAIN).map((way) => [...way, ...rest]), [{ text: "\\" }, this.#escape, ...rest]];
  }
}

function nameOf(element: Element): string {
  return "rule" in element ? element.rule : "end";
}

/** How JSON is written: the spaces between its parts, and the spelling of strings. */
import { ANY_CHAR, type CharSet, charsOf, hasChar, intersect, intervalsOf, subtract } from "../automata/char-set.ts";
import type { Alternative, Element, Rules } from "../rules.ts";

const CONTROLS: CharSet = [0, 0x1f];
const ESCAPED = charsOf('"\\');
const PLAIN: CharSet = subtract(subtract(ANY_CHAR, CONTROLS), ESCAPED);
const SHORT_ESCAPES: Record<number, string> = { 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\" };

/** The ways to write one of the characters within a string: each in one way, but control characters by short and long escapes. */
export function writeInString(chars: CharSet): Alternative[] {
  const plain = intersect(chars, PLAIN);
  const result: Alternative[] = plain.length > 0 ? [[{ chars: plain }]] : [];
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

/** The characters as they are, outside of JSON. */
export function writePlain(chars: CharSet): Alternative[] {
  return [[{ chars }]];
}

/** The parts of JSON that every schema's grammar shares. */
export class JsonText {
  /** Nothing, a space, or a new line with its indentation. */
  readonly space: Element;
  /** Nothing or a space. */
  readonly gap: Element;
  /** The rest of a string of any content, with the closing quote. */
  readonly anyText: Element;
  readonly #rules: Rules;
  readonly #escape: Element;
  readonly #exact = new Map<string, Element>();

  constructor(rules: Rules) {
    this.#rules = rules;
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
    rules.set("text", [[{ text: '"' }], ...this.#anyChar(this.anyText)]);
  }

  /** The rest of a string of so many characters, with the closing quote. */
  textOf(least: number, most: number | null): Element {
    if (most === null) return least === 0 ? this.anyText : this.#text(`min ${least}`, false, this.textOf(least - 1, null));
    if (most === 0) return { text: '"' };
    return this.#text(`${least} ${most}`, least === 0, this.textOf(Math.max(0, least - 1), most - 1));
  }

  #text(name: string, mayEnd: boolean, rest: Element): Element {
    let element = this.#exact.get(name);
    if (!element) {
      const ways = this.#anyChar(rest);
      element = { rule: this.#rules.set(this.#rules.name("t"), mayEnd ? [[{ text: '"' }], ...ways] : ways) };
      this.#exact.set(name, element);
    }
    return element;
  }

  #anyChar(rest: Element): Alternative[] {
    return [
      [{ chars: PLAIN }, rest],
      [{ text: "\\" }, this.#escape, rest],
    ];
  }
}

/** Structural tags to rules: each format is written with what follows it. */
import { FIRST_SPECIAL } from "../automata/char-set.ts";
import { isEmpty } from "../automata/dfa.ts";
import type { Tag, TagFormat } from "../contract.ts";
import { textsMatched } from "../regex/language.ts";
import type { Alternative, Element, Rules } from "../rules.ts";
import { isObject, type JsonValue } from "../schema/json.ts";
import { writeEbnf } from "./ebnf.ts";
import { type Stop, writeFreeText } from "./free-text.ts";
import { GrammarProblem } from "./problem.ts";

/** What comes after a format: beginnings that are known as text, or (`chars` null) something else. Nothing: the output ends. */
interface Follow {
  options: { chars: number[] | null; then: Alternative }[];
}

const MAX_DEPTH = 50;
const END: Follow = { options: [] };

export interface TagParts {
  rules: Rules;
  /** Texts of the special tokens, by number. */
  specials: readonly string[];
  schema(schema: JsonValue): Element;
}

export class TagWriter {
  readonly #parts: TagParts;
  readonly #specialNumbers: ReadonlyMap<string, number>;
  readonly #specialPattern: RegExp | null;

  constructor(parts: TagParts) {
    this.#parts = parts;
    this.#specialNumbers = new Map(parts.specials.map((text, number) => [text, number]));
    const texts = parts.specials.filter((text) => text !== "").sort((a, b) => b.length - a.length);
    this.#specialPattern = texts.length === 0 ? null : new RegExp(texts.map(RegExp.escape).join("|"), "g");
  }

  /** Throws `GrammarProblem`, and what the formats within throw. */
  write(format: TagFormat): Element {
    return this.#rule([this.#format(format, END, 0)].map(sequenceOf));
  }

  #format(format: TagFormat, follow: Follow, depth: number): Follow {
    if (depth > MAX_DEPTH) throw new GrammarProblem("The structural tag is nested too deeply.");
    const inner = (part: TagFormat, after: Follow) => this.#format(part, after, depth + 1);
    switch (format.type) {
      case "const_string":
        return this.#literal(text(format.value, "const_string", "value"), follow);
      case "json_schema":
        if (!isObject(format.json_schema) && typeof format.json_schema !== "boolean") throw missing(format.type, "json_schema", "a schema");
        return this.#opaque([this.#parts.schema(format.json_schema)], follow);
      case "regex": {
        const dfa = textsMatched(text(format.pattern, "regex", "pattern"));
        if (isEmpty(dfa)) throw new GrammarProblem(`No text matches ${JSON.stringify(format.pattern)}.`);
        const { rules } = this.#parts;
        return this.#opaque([{ rule: rules.automaton(dfa, sequenceOf(follow, rules), (chars) => rules.chars(chars)) }], null);
      }
      case "grammar":
        return this.#opaque([writeEbnf(text(format.grammar, "grammar", "grammar"), this.#parts.rules)], follow);
      case "any_text":
        return this.#freeText(follow, []);
      case "sequence":
        return list(format.elements, "sequence", "elements").reduceRight<Follow>((after, part) => inner(part, after), follow);
      case "or":
        return { options: list(format.elements, "or", "elements").flatMap((part) => this.#filled(inner(part, follow)).options) };
      case "tag":
        return this.#tag(format, follow, depth);
      case "triggered_tags":
        return this.#triggered(format, follow, depth);
      case "tags_with_separator":
        return this.#separated(format, follow, depth);
      default:
        throw new GrammarProblem(`There is no structural format of type ${JSON.stringify((format as { type: unknown }).type)}.`);
    }
  }
}

/** Structural tags to rules: each format is written together with what follows it. */
import { FIRST_SPECIAL } from "../automata/char-set.ts";
import { isEmpty } from "../automata/dfa.ts";
import type { Tag, TagFormat } from "../contract.ts";
import { textsMatched } from "../regex/language.ts";
import type { Alternative, Element, Rules } from "../rules.ts";
import type { JsonValue } from "../schema/json.ts";
import { writeEbnf } from "./ebnf.ts";
import { type Stop, writeFreeText } from "./free-text.ts";
import { GrammarProblem } from "./problem.ts";

/** One way to go on: characters (or special tokens) that are known to come, and the rest. */
interface Way {
  chars: readonly number[];
  rest: Alternative;
}

/** The ways to go on. The end of the output is a way of nothing. */
type Ways = readonly Way[];

const END: Ways = [{ chars: [], rest: [] }];
const MAX_DEPTH = 50;

export interface TagParts {
  rules: Rules;
  /** Texts of the special tokens, by number. */
  specials: readonly string[];
  schema(schema: JsonValue): Element;
}

type Triggered = Extract<TagFormat, { type: "triggered_tags" }>;
type Separated = Extract<TagFormat, { type: "tags_with_separator" }>;

export class TagWriter {
  readonly #parts: TagParts;
  readonly #rules: Rules;
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #special: RegExp | null;

  constructor(parts: TagParts) {
    this.#parts = parts;
    this.#rules = parts.rules;
    this.#numbers = new Map(parts.specials.map((text, number) => [text, number]));
    const texts = [...this.#numbers.keys()].filter((text) => text !== "").sort((a, b) => b.length - a.length);
    this.#special = texts.length === 0 ? null : new RegExp(`(${texts.map((text) => RegExp.escape(text)).join("|")})`);
  }

  /** Throws `GrammarProblem`, and what the formats within throw. */
  write(format: TagFormat): Element {
    return this.#rule(this.#format(format, END, 0));
  }

  #format(format: TagFormat, after: Ways, depth: number): Ways {
    if (depth > MAX_DEPTH) throw new GrammarProblem("The structural tag is nested too deeply.");
    if (typeof format !== "object" || format === null) throw new GrammarProblem("A structural format is an object with a type.");
    const inner = (part: TagFormat, rest: Ways) => this.#format(part, rest, depth + 1);
    switch (format.type) {
      case "const_string":
        return this.#literal(text(format, "value"), after);
      case "json_schema":
        return this.#opaque(this.#parts.schema(format.json_schema as JsonValue), after);
      case "grammar":
        return this.#opaque(writeEbnf(text(format, "grammar"), this.#rules), after);
      case "regex":
        return this.#opaque(this.#pattern(text(format, "pattern"), this.#tail(after)), END);
      case "any_text":
        return this.#freeText(after, []);
      case "sequence":
        return list<TagFormat>(format, "elements").reduceRight((rest, part) => inner(part, rest), after);
      case "or":
        return list<TagFormat>(format, "elements").flatMap((part) => inner(part, after));
      case "tag":
        return this.#tag(format, after, depth);
      case "triggered_tags":
        return this.#triggered(format, after, depth);
      case "tags_with_separator":
        return this.#separated(format, after, depth);
      default:
        throw new GrammarProblem(`There is no structural format of type ${JSON.stringify((format as { type?: unknown }).type)}.`);
    }
  }

  #literal(value: string, after: Ways): Ways {
    return value === "" ? after : [{ chars: this.#chars(value), rest: this.#tail(after) }];
  }

  #opaque(element: Element, after: Ways): Ways {
    return [{ chars: [], rest: [element, ...this.#tail(after)] }];
  }

  #pattern(pattern: string, tail: Alternative): Element {
    const dfa = textsMatched(pattern);
    if (isEmpty(dfa)) throw new GrammarProblem(`No text matches the pattern ${JSON.stringify(pattern)}.`);
    return { rule: this.#rules.automaton(dfa, tail, (chars) => this.#rules.chars(chars)) };
  }

  /** Text until one of the ways that come after, or one of the stops, begins. */
  #freeText(after: Ways, stops: readonly Stop[], name = this.#rules.name("f")): Ways {
    const mayEnd = after.some(({ chars, rest }) => chars.length === 0 && rest.length === 0);
    if (after.some(({ chars, rest }) => chars.length === 0 && rest.length > 0)) {
      throw new GrammarProblem(
        "Free text must be followed by a text that is known, or by nothing: else nobody knows where it ends.",
      );
    }
    const ends = grouped(after.filter(({ chars }) => chars.length > 0)).map(({ chars, ways }) => ({
      chars,
      rest: this.#tail(ways),
    }));
    writeFreeText(name, [...stops, ...ends], mayEnd, this.#rules);
    return [{ chars: [], rest: [{ rule: name }] }];
  }

  #tag(tag: Tag, after: Ways, depth: number): Ways {
    if (tag?.type !== "tag") throw new GrammarProblem("A tag is an object of type 'tag'.");
    const content = this.#format(tag.content, this.#literal(text(tag, "end"), after), depth + 1);
    return this.#literal(text(tag, "begin"), content);
  }

  #triggered(format: Triggered, after: Ways, depth: number): Ways {
    const name = this.#rules.name("f");
    const again: Ways = format.stop_after_first ? after : [{ chars: [], rest: [{ rule: name }] }];
    const tags = list<Tag>(format, "tags").flatMap((tag) => this.#tag(tag, again, depth));
    const triggers = list<string>(format, "triggers").map((trigger) => this.#chars(String(trigger)));
    const overlaps = triggers.some((a, i) => a.length === 0 || triggers.some((b, j) => i !== j && startsWith(b, a)));
    if (overlaps) throw new GrammarProblem("A trigger must not be empty, nor the beginning of another one.");
    const stops = triggers.map((chars) => {
      const ways = tags
        .filter((way) => startsWith(way.chars, chars))
        .map((way) => ({ ...way, chars: way.chars.slice(chars.length) }));
      if (ways.length === 0) throw new GrammarProblem("A trigger is the beginning of no tag.");
      return { chars, rest: this.#tail(ways) };
    });
    if (tags.some((way) => !triggers.some((chars) => startsWith(way.chars, chars)))) {
      throw new GrammarProblem("A tag begins with none of the triggers.");
    }
    const text = this.#freeText(after, stops, name);
    return format.at_least_one ? tags : text;
  }

  #separated(format: Separated, after: Ways, depth: number): Ways {
    const name = this.#rules.name("f");
    const tags = list<Tag>(format, "tags").flatMap((tag) => this.#tag(tag, [{ chars: [], rest: [{ rule: name }] }], depth));
    const more = format.stop_after_first ? [] : this.#literal(text(format, "separator"), tags);
    this.#rules.set(
      name,
      [...after, ...more].map((way) => this.#written(way)),
    );
    return format.at_least_one ? tags : [...after, ...tags];
  }

  /** The ways as what comes next in a rule. */
  #tail(ways: Ways): Alternative {
    return ways.length === 1 ? this.#written(ways[0]!) : [this.#rule(ways)];
  }

  #rule(ways: Ways): Element {
    const { rules } = this.#parts;
    return {
      rule: rules.set(
        rules.name("w"),
        ways.map((way) => this.#written(way)),
      ),
    };
  }

  #written({ chars, rest }: Way): Alternative {
    const parts = chars.flatMap((char): Alternative => {
      return char < FIRST_SPECIAL ? [{ text: String.fromCodePoint(char) }] : this.#rules.chars([char, char])[0]!;
    });
    return [...parts, ...rest];
  }

  /** The characters of a text, special tokens as one each. */
  #chars(value: string): number[] {
    const parts = this.#special ? value.split(this.#special) : [value];
    return parts.flatMap((part, i) => {
      const number = i % 2 === 1 ? this.#numbers.get(part) : undefined;
      return number === undefined ? [...part].map((char) => char.codePointAt(0)!) : [FIRST_SPECIAL + number];
    });
  }
}

/** Ways with the same beginning together. */
function grouped(ways: Ways): { chars: readonly number[]; ways: Way[] }[] {
  const groups = new Map<string, { chars: readonly number[]; ways: Way[] }>();
  for (const way of ways) {
    const name = way.chars.join();
    const group = groups.get(name) ?? { chars: way.chars, ways: [] };
    group.ways.push({ chars: [], rest: way.rest });
    groups.set(name, group);
  }
  return [...groups.values()];
}

function startsWith(chars: readonly number[], beginning: readonly number[]): boolean {
  return beginning.every((char, i) => chars[i] === char);
}

function text<K extends string>(format: { type: string } & Record<K, unknown>, field: K): string {
  const value = format[field];
  if (typeof value !== "string")
    throw new GrammarProblem(`'${field}' of a structural format of type '${format.type}' must be a string.`);
  return value.toWellFormed();
}

function list<T>(format: TagFormat, field: string): readonly T[] {
  const value = (format as unknown as Record<string, unknown>)[field];
  if (!Array.isArray(value) || value.length === 0) {
    throw new GrammarProblem(`'${field}' of a structural format of type '${format.type}' must be a list that is not empty.`);
  }
  return value as readonly T[];
}

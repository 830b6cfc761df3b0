/** What an object may consist of. */
import { anyOf, type Dfa, difference, EVERYTHING, intersection, isEmpty as isEmptyLanguage } from "../automata/dfa.ts";
import { alternatives, type Conjunction, narrowValues } from "./conjunction.ts";
import type { Condition, ConditionFormula, Formula } from "./formula.ts";
import type { Formulas } from "./formulas.ts";
import type { JsonObject, JsonType, JsonValue } from "./json.ts";
import { KeySet } from "./key-set.ts";
import { UnsupportedSchema } from "./problem.ts";
import type { Specialized } from "./specialize.ts";

/** Named members in the order in which they come, then others. */
export interface ObjectShape {
  named: { name: string; value: Formula; required: boolean }[];
  /** Disjoint languages of other keys, with what their values are. */
  others: { keys: Dfa; value: Formula }[];
  /** Among the others there must be one of each of these, after which none of its keys comes again: index into `others`. */
  witnesses: { other: number; value: Formula }[];
  least: number;
  most: number | null;
}

/** What the shapes ask of the schema as a whole. */
export interface Inquiry {
  formulas: Formulas;
  /** Whether no value satisfies a formula; false where that is not known. */
  isEmpty(formula: Formula): boolean;
  /** What the formula refuses, of values of its type. */
  negate(formula: Specialized, type: JsonType): Specialized;
}

type Member = Extract<Condition, { kind: "every" | "some" }>;

const MAX_CLASSES = 64;

export function objectShapes(formula: Specialized, inquiry: Inquiry): ObjectShape[] {
  const found = alternatives(formula, new ObjectConjunction(inquiry, [], null), (clause) => inquiry.negate(clause, "object"));
  return found.flatMap((conjunction) => conjunction.shapes());
}

class ObjectConjunction implements Conjunction<ObjectConjunction> {
  readonly conditions: readonly ConditionFormula[];
  readonly #inquiry: Inquiry;
  /** The only objects that there are. */
  readonly #values: readonly JsonValue[] | null;

  constructor(inquiry: Inquiry, conditions: readonly ConditionFormula[], values: readonly JsonValue[] | null) {
    this.#inquiry = inquiry;
    this.conditions = conditions;
    this.#values = values;
  }

  with(condition: ConditionFormula): ObjectConjunction | null {
    if (this.conditions.some(({ id }) => id === condition.id)) return this;
    const conditions = [...this.conditions, condition];
    const values = narrowValues(this.#inquiry.formulas, this.#values, this.conditions, condition);
    if (values?.length === 0) return null;
    const result = new ObjectConjunction(this.#inquiry, conditions, values);
    return values || result.#isPossible(condition) ? result : null;
  }

  shapes(): ObjectShape[] {
    if (this.#values) return this.#values.map((value) => this.#constant(value as JsonObject));
    const general = this.#members("some").find(({ keys }) => keys.names === null);
    if (!general) return this.#shape([]);
    return this.#withWitnesses([]);
  }

  #constant(value: JsonObject): ObjectShape {
    const { formulas } = this.#inquiry;
    const named = Object.entries(value).map(([name, inner]) => ({ name, value: formulas.values([inner]), required: true }));
    return { named, others: [], witnesses: [], least: 0, most: null };
  }

  #members(kind: "every" | "some"): Member[] {
    return this.conditions.flatMap((condition) => (condition.kind === kind ? [condition] : []));
  }

  /** What the value of a key has to be when it is there. */
  #valueOf(name: string): Formula {
    const { formulas } = this.#inquiry;
    const every = this.#members("every").filter(({ keys }) => keys.has(name));
    const some = this.#members("some").filter(({ keys }) => keys.names?.[0] === name);
    return formulas.and(...every.map(({ value }) => value), ...some.map(({ value }) => value));
  }

  get #required(): string[] {
    return [...new Set(this.#members("some").flatMap(({ keys }) => keys.names ?? []))];
  }

  get #count(): { least: number; most: number | null } {
    let least = 0;
    let most = Number.POSITIVE_INFINITY;
    for (const condition of this.conditions) {
      if (condition.kind !== "properties") continue;
      least = Math.max(least, condition.least);
      most = Math.min(most, condition.most ?? most);
    }
    return { least, most: most === Number.POSITIVE_INFINITY ? null : most };
  }

  /** Whether what is new leaves a value to every key that must be there. */
  #isPossible(added: ConditionFormula): boolean {
    const { least, most } = this.#count;
    const required = this.#required;
    if (most !== null && (least > most || required.length > most)) return false;
    if (added.kind !== "every" && added.kind !== "some") return true;
    return required.every((name) => !added.keys.has(name) || !this.#inquiry.isEmpty(this.#valueOf(name)));
  }

  /** Each condition that some key of many has to satisfy is given to a named key, or to a class of the others. */
  #withWitnesses(chosen: { member: Member; name: string | null }[]): ObjectShape[] {
    const open = this.#members("some").filter(({ keys }) => keys.names === null);
    const member = open[chosen.length];
    if (!member) {
      let conjunction: ObjectConjunction | null = new ObjectConjunction(
        this.#inquiry,
        this.conditions.filter((condition) => condition.kind !== "some" || condition.keys.names !== null),
        null,
      );
      const { formulas } = this.#inquiry;
      for (const { member, name } of chosen) {
        if (name === null || !conjunction) continue;
        const condition = formulas.condition({ kind: "some", keys: KeySet.of([name]), value: member.value });
        conjunction = conjunction.with(condition as ConditionFormula);
      }
      return conjunction ? conjunction.#shape(chosen.flatMap(({ member, name }) => (name === null ? [member] : []))) : [];
    }
    const names: (string | null)[] = [...this.#names.filter((name) => member.keys.has(name)), null];
    return names.flatMap((name) => this.#withWitnesses([...chosen, { member, name }]));
  }

  get #names(): string[] {
    const listed = [...this.#members("every"), ...this.#members("some")].flatMap(({ keys }) => keys.names ?? []);
    return [...new Set(listed)];
  }

  #shape(free: readonly Member[]): ObjectShape[] {
    const inquiry = this.#inquiry;
    const required = new Set(this.#required);
    const named = this.#names.map((name) => ({ name, value: this.#valueOf(name), required: required.has(name) }));
    if (named.some(({ value, required }) => required && inquiry.isEmpty(value))) return [];
    const classes = this.#classes(free);
    const possible = classes.filter(({ value }) => !inquiry.isEmpty(value));
    const others = possible.map(({ keys, value }) => ({ keys, value }));
    const shape = { named: named.filter(({ value }) => !inquiry.isEmpty(value)), others, ...this.#count };
    return this.#placed(free, possible).map((witnesses) => ({ ...shape, witnesses }));
  }

  /** Every way to give the free conditions to classes. Two in one class are given to one key. */
  #placed(free: readonly Member[], classes: readonly KeyClass[]): ObjectShape["witnesses"][] {
    let placed: ObjectShape["witnesses"][] = [[]];
    const inquiry = this.#inquiry;
    for (const member of free) {
      placed = placed.flatMap((before) =>
        classes.flatMap((one, other) => {
          if (!one.members.has(member)) return [];
          const earlier = before.find((witness) => witness.other === other);
          const value = inquiry.formulas.and(earlier?.value ?? one.value, member.value);
          if (inquiry.isEmpty(value)) return [];
          return [[...before.filter((witness) => witness !== earlier), { other, value }]];
        }),
      );
    }
    return placed;
  }

  /** The keys without a name, sorted by the conditions that speak of them. */
  #classes(free: readonly Member[]): KeyClass[] {
    const general = [...this.#members("every"), ...free].filter(({ keys }) => keys.names === null);
    const names = this.#names;
    let classes: { keys: Dfa; members: Set<Member> }[] = [
      { keys: names.length === 0 ? EVERYTHING : difference(EVERYTHING, anyOf(names)), members: new Set() },
    ];
    for (const member of general) {
      classes = classes.flatMap(({ keys, members }) => {
        const inside = { keys: intersection(keys, member.keys.dfa), members: new Set([...members, member]) };
        const outside = { keys: difference(keys, member.keys.dfa), members };
        return [inside, outside].filter((one) => !isEmptyLanguage(one.keys));
      });
      if (classes.length > MAX_CLASSES) throw new UnsupportedSchema("patternProperties", "too many patterns that overlap");
    }
    const { formulas } = this.#inquiry;
    return classes.map(({ keys, members }) => {
      const values = [...members].filter((member) => member.kind === "every").map(({ value }) => value);
      return { keys, members, value: formulas.and(...values) };
    });
  }
}

interface KeyClass {
  keys: Dfa;
  members: ReadonlySet<Member>;
  value: Formula;
}

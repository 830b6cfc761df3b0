/** What an array may consist of. */
import { alternatives, type Conjunction, narrowValues } from "./conjunction.ts";
import type { Condition, ConditionFormula, Formula } from "./formula.ts";
import type { JsonValue } from "./json.ts";
import type { Inquiry } from "./objects.ts";
import type { Specialized } from "./specialize.ts";

export interface ArrayShape {
  /** What the item at a place has to be. */
  item(place: number): Formula;
  /** From this place on all items have to be the same. */
  uniformFrom: number;
  least: number;
  /** Null: any number. */
  most: number | null;
  /** So many items from `from` to below `to` satisfy the formula, at least. */
  wanted: { count: number; from: number; to: number | null; value: Formula }[];
  /** No more than so many items do. */
  rationed: { count: number; value: Formula }[];
  /** Where it is said that no two items are equal, or that two are. */
  unique: { place: string; negated: boolean } | null;
}

export function arrayShapes(formula: Specialized, inquiry: Inquiry): ArrayShape[] {
  const found = alternatives(formula, new ArrayConjunction(inquiry, [], null), (clause) => inquiry.negate(clause, "array"));
  return found.flatMap((conjunction) => conjunction.shapes());
}

type Of<K extends Condition["kind"]> = Extract<Condition, { kind: K }>;

class ArrayConjunction implements Conjunction<ArrayConjunction> {
  readonly conditions: readonly ConditionFormula[];
  readonly #inquiry: Inquiry;
  readonly #values: readonly JsonValue[] | null;

  constructor(inquiry: Inquiry, conditions: readonly ConditionFormula[], values: readonly JsonValue[] | null) {
    this.#inquiry = inquiry;
    this.conditions = conditions;
    this.#values = values;
  }

  with(condition: ConditionFormula): ArrayConjunction | null {
    if (this.conditions.some(({ id }) => id === condition.id)) return this;
    const conditions = [...this.conditions, condition];
    const values = narrowValues(this.#inquiry.formulas, this.#values, this.conditions, condition);
    if (values?.length === 0) return null;
    const result = new ArrayConjunction(this.#inquiry, conditions, values);
    const { least, most } = result.#size;
    return !values && most !== null && least > most ? null : result;
  }

  shapes(): ArrayShape[] {
    if (this.#values) return this.#values.map((value) => this.#constant(value as readonly JsonValue[]));
    const inquiry = this.#inquiry;
    const { least, most } = this.#size;
    const items = this.#all("items");
    const wanted = this.#all("least");
    const uniformFrom = Math.max(0, ...[...items, ...wanted].map(({ from, to }) => to ?? from));
    let longest = most ?? Number.POSITIVE_INFINITY;
    for (let place = 0; place <= uniformFrom && place < longest; place++) if (inquiry.isEmpty(this.#item(place))) longest = place;
    if (least > longest || wanted.some((one) => !this.#canHold(one, longest))) return [];
    const unique = this.#all("unique")[0] ?? null;
    return [
      {
        item: (place) => this.#item(place),
        uniformFrom,
        least,
        most: longest === Number.POSITIVE_INFINITY ? null : longest,
        wanted,
        rationed: this.#all("most"),
        unique: unique && (unique.negated || longest > 1) ? unique : null,
      },
    ];
  }

  #constant(value: readonly JsonValue[]): ArrayShape {
    const { formulas } = this.#inquiry;
    const item = (place: number) => (place < value.length ? formulas.values([value[place]!]) : formulas.false);
    const size = { least: value.length, most: value.length };
    return { item, uniformFrom: value.length, ...size, wanted: [], rationed: [], unique: null };
  }

  #all<K extends Condition["kind"]>(kind: K): Of<K>[] {
    return this.conditions.flatMap((condition) => (condition.kind === kind ? [condition as unknown as Of<K>] : []));
  }

  get #size(): { least: number; most: number | null } {
    let least = 0;
    let most = Number.POSITIVE_INFINITY;
    for (const size of this.#all("size")) {
      least = Math.max(least, size.least);
      most = Math.min(most, size.most ?? most);
    }
    for (const { from, count } of this.#all("least")) least = Math.max(least, from + count);
    return { least, most: most === Number.POSITIVE_INFINITY ? null : most };
  }

  #item(place: number): Formula {
    const covering = this.#all("items").filter(({ from, to }) => place >= from && (to === null || place < to));
    return this.#inquiry.formulas.and(...covering.map(({ value }) => value));
  }

  /** Whether there is room for the items that are wanted, and one of them can be. */
  #canHold({ count, from, to, value }: Of<"least">, longest: number): boolean {
    if (Math.min(to ?? Number.POSITIVE_INFINITY, longest) - from < count) return false;
    return to === null || to - from > 1 || !this.#inquiry.isEmpty(this.#inquiry.formulas.and(this.#item(from), value));
  }
}

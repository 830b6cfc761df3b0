import { evaluate } from "./evaluate.ts";
import { type Condition, conditionType, type Formula } from "./formula.ts";
import { canonical, JSON_TYPES, type JsonType, type JsonValue } from "./json.ts";
import type { Patterns } from "./patterns.ts";

/** The place of a reference is being read: what it says is not known yet. */
class Unread extends Error {}

/** The formulas of one schema: makes them, each once. */
export class Formulas {
  readonly #byName = new Map<string, Formula>();
  readonly #negations = new Map<Formula, Formula>();
  readonly #references: (target: string) => Formula | null;
  readonly patterns: Patterns;
  readonly true: Formula;
  readonly false: Formula;

  /** `references` gives what stands at a place of the schema, null while that is being read. */
  constructor(references: (target: string) => Formula | null, patterns: Patterns) {
    this.#references = references;
    this.patterns = patterns;
    this.true = this.#intern("true", { kind: "true" });
    this.false = this.#intern("false", { kind: "false" });
  }

  /** How many there are: what bounds the work on a schema. */
  get count(): number {
    return this.#byName.size;
  }

  /** What a reference stands for. Throws `Unread`. */
  resolve(target: string, negated: boolean): Formula {
    const formula = this.#references(target);
    if (formula === null) throw new Unread();
    return negated ? this.not(formula) : formula;
  }

  reference(target: string, negated = false): Formula {
    return this.#intern(`ref ${negated ? "!" : ""}${target}`, { kind: "reference", target, negated });
  }

  types(types: readonly JsonType[]): Formula {
    const kept = JSON_TYPES.filter((type) => types.includes(type));
    if (kept.length === 0) return this.false;
    if (kept.length === JSON_TYPES.length) return this.true;
    return this.#intern(`types ${kept}`, { kind: "types", types: kept });
  }

  condition(condition: Exclude<Condition, { kind: "types" }>): Formula {
    return this.#intern(nameOf(condition), condition);
  }

  values(values: readonly JsonValue[], negated = false): Formula {
    const byName = new Map(values.map((value) => [canonical(value), value]));
    if (byName.size === 0) return negated ? this.true : this.false;
    const names = [...byName.keys()].sort();
    return this.#intern(`values ${negated ? "!" : ""}${names}`, { kind: "values", values: [...byName.values()], negated });
  }

  and(...parts: readonly Formula[]): Formula {
    const flat = this.#flatten(parts, "and");
    if (flat.includes(this.false)) return this.false;
    const kept = this.#mergeTypes(
      flat.filter((part) => part !== this.true),
      (a, b) => a.filter((type) => b.includes(type)),
    );
    if (kept.includes(this.false)) return this.false;
    const listed = kept.find((part) => part.kind === "values" && !part.negated);
    if (listed?.kind === "values") {
      const satisfying = this.#satisfying(
        listed.values,
        kept.filter((part) => part !== listed),
      );
      if (satisfying) return this.values(satisfying);
    }
    const known = new Set(kept);
    if (kept.some((part) => isSimple(part) && known.has(this.not(part)))) return this.false;
    return this.#join("and", kept, this.true);
  }

  or(...parts: readonly Formula[]): Formula {
    const flat = this.#flatten(parts, "or");
    if (flat.includes(this.true)) return this.true;
    const kept = this.#mergeTypes(
      flat.filter((part) => part !== this.false),
      (a, b) => [...a, ...b],
    );
    if (kept.includes(this.true)) return this.true;
    const listed = kept.flatMap((part) => (part.kind === "values" && !part.negated ? [part] : []));
    if (listed.length < 2) return this.#join("or", kept, this.false);
    const all = this.values(listed.flatMap(({ values }) => values));
    const first = kept.indexOf(listed[0]!);
    const rest = kept.filter((part) => !listed.some((other) => other === part));
    return this.#join("or", [...rest.slice(0, first), all, ...rest.slice(first)], this.false);
  }

  not(formula: Formula): Formula {
    let negation = this.#negations.get(formula);
    if (!negation) {
      negation = this.#negate(formula);
      this.#negations.set(formula, negation);
    }
    return negation;
  }

  #negate(f: Formula): Formula {
    switch (f.kind) {
      case "true":
        return this.false;
      case "false":
        return this.true;
      case "and":
        return this.or(...f.parts.map((part) => this.not(part)));
      case "or":
        return this.and(...f.parts.map((part) => this.not(part)));
      case "reference":
        return this.reference(f.target, !f.negated);
      case "types":
        return this.types(JSON_TYPES.filter((type) => !f.types.includes(type)));
      case "values":
        return this.values(f.values, !f.negated);
      default:
        return this.and(this.types([conditionType(f.kind)!]), this.#opposite(f));
    }
  }

  /** What the condition refuses, of values of its own type. */
  #opposite(f: Exclude<Condition, { kind: "types" | "values" }>): Formula {
    const outside = (make: (least: number, most: number | null) => Condition & { kind: "length" | "properties" | "size" }) => {
      const { least, most } = f as { least: number; most: number | null };
      const below = least > 0 ? this.condition(make(0, least - 1)) : this.false;
      return this.or(below, most === null ? this.false : this.condition(make(most + 1, null)));
    };
    switch (f.kind) {
      case "pattern":
      case "integer":
      case "multiple":
      case "unique":
        return this.condition({ ...f, negated: !f.negated });
      case "bound":
        return this.condition({ ...f, relation: ({ "<": ">=", "<=": ">", ">": "<=", ">=": "<" } as const)[f.relation] });
      case "length":
      case "properties":
      case "size":
        return outside((least, most) => ({ kind: f.kind, least, most }));
      case "every":
      case "some":
        return this.condition({ kind: f.kind === "every" ? "some" : "every", keys: f.keys, value: this.not(f.value) });
      case "items":
        return this.condition({ kind: "least", count: 1, from: f.from, to: f.to, value: this.not(f.value) });
      case "least":
        if (f.count === 1) return this.condition({ kind: "items", from: f.from, to: f.to, value: this.not(f.value) });
        return this.condition({ kind: "most", count: f.count - 1, value: f.value });
      case "most":
        return this.condition({ kind: "least", count: f.count + 1, from: 0, to: null, value: f.value });
    }
  }

  /** Those of the values that satisfy all the formulas; null when that cannot be told yet. */
  #satisfying(values: readonly JsonValue[], parts: readonly Formula[]): JsonValue[] | null {
    try {
      return values.filter((value) => parts.every((part) => evaluate(this, part, value)));
    } catch (error) {
      if (error instanceof Unread) return null;
      throw error;
    }
  }

  #flatten(parts: readonly Formula[], kind: "and" | "or"): Formula[] {
    return [...new Set(parts.flatMap((part) => (part.kind === kind ? (part as { parts: readonly Formula[] }).parts : [part])))];
  }

  /** One condition on the type in place of several. */
  #mergeTypes(
    parts: readonly Formula[],
    merge: (a: readonly JsonType[], b: readonly JsonType[]) => readonly JsonType[],
  ): Formula[] {
    const all = parts.flatMap((part) => (part.kind === "types" ? [part.types] : []));
    if (all.length < 2) return [...parts];
    return [this.types(all.reduce(merge)), ...parts.filter((part) => part.kind !== "types")];
  }

  #join(kind: "and" | "or", parts: readonly Formula[], neutral: Formula): Formula {
    if (parts.length === 0) return neutral;
    if (parts.length === 1) return parts[0]!;
    const ids = parts.map(({ id }) => id).sort((a, b) => a - b);
    return this.#intern(`${kind} ${ids}`, { kind, parts });
  }

  #intern(
    name: string,
    node:
      | Condition
      | { kind: "true" | "false" }
      | { kind: "and" | "or"; parts: readonly Formula[] }
      | { kind: "reference"; target: string; negated: boolean },
  ): Formula {
    let formula = this.#byName.get(name);
    if (!formula) {
      formula = { ...node, id: this.#byName.size } as Formula;
      this.#byName.set(name, formula);
    }
    return formula;
  }
}

/** Whether its negation is as small as itself. */
function isSimple({ kind }: Formula): boolean {
  return kind === "values" || kind === "reference";
}

function nameOf(condition: Condition): string {
  const fields = Object.entries(condition).map(([key, value]) => {
    if (key === "keys") return (value as { name: string }).name;
    return typeof value === "object" && value !== null && "id" in value ? `#${value.id}` : JSON.stringify(value);
  });
  return fields.join(" ");
}

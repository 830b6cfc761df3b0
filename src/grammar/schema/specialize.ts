/** What a formula says of the values of one type. */
import { type Condition, conditionType, type Formula } from "./formula.ts";
import type { Formulas } from "./formulas.ts";
import { isObject, type JsonObject, type JsonType, type JsonValue, typeOf } from "./json.ts";
import { ALL_KEYS, KeySet } from "./key-set.ts";
import { UnsupportedSchema } from "./problem.ts";

/** A formula of conditions on one type, with no references; values are in it only positively, or are scalars. */
export type Specialized = Formula;

export class Specializer {
  readonly #formulas: Formulas;
  readonly #known = new Map<string, Specialized>();
  readonly #open = new Set<string>();

  constructor(formulas: Formulas) {
    this.#formulas = formulas;
  }

  /** Throws `UnsupportedSchema` when references go in circles. */
  for(formula: Formula, type: JsonType): Specialized {
    const name = `${type} ${formula.id}`;
    const known = this.#known.get(name);
    if (known) return known;
    if (this.#open.has(name)) throw new UnsupportedSchema("$ref", "a schema that refers to itself without end");
    this.#open.add(name);
    const result = this.#specialize(formula, type);
    this.#open.delete(name);
    this.#known.set(name, result);
    return result;
  }

  #specialize(f: Formula, type: JsonType): Specialized {
    const formulas = this.#formulas;
    switch (f.kind) {
      case "true":
      case "false":
        return f;
      case "and":
        return formulas.and(...f.parts.map((part) => this.for(part, type)));
      case "or":
        return formulas.or(...f.parts.map((part) => this.for(part, type)));
      case "reference":
        return this.for(formulas.resolve(f.target, f.negated), type);
      case "types":
        return f.types.includes(type) ? formulas.true : formulas.false;
      case "values":
        return this.#values(f, type);
      default:
        return conditionType(f.kind) === type ? f : formulas.true;
    }
  }

  #values({ values, negated }: Extract<Condition, { kind: "values" }>, type: JsonType): Specialized {
    const formulas = this.#formulas;
    const own = values.filter((value) => typeOf(value) === type);
    if (!negated || (type !== "object" && type !== "array")) return formulas.values(own, negated);
    return this.for(formulas.and(...own.map((value) => differs(formulas, value))), type);
  }
}

/** Objects or arrays, as the value is one, that are not equal to it. */
function differs(formulas: Formulas, value: JsonValue): Formula {
  if (isObject(value)) return differsFromObject(formulas, value);
  const items = value as readonly JsonValue[];
  const size = formulas.condition({ kind: "size", least: items.length, most: items.length });
  const other = items.map((item, i) => {
    return formulas.condition({ kind: "least", count: 1, from: i, to: i + 1, value: formulas.values([item], true) });
  });
  return formulas.or(formulas.not(size), ...other);
}

function differsFromObject(formulas: Formulas, value: JsonObject): Formula {
  const names = Object.keys(value);
  const missing = names.map((name) => formulas.condition({ kind: "every", keys: KeySet.of([name]), value: formulas.false }));
  const other = names.map((name) => {
    return formulas.condition({ kind: "some", keys: KeySet.of([name]), value: formulas.values([value[name]!], true) });
  });
  const keys = names.length === 0 ? ALL_KEYS : KeySet.otherThan(names, [], formulas.patterns);
  return formulas.or(...missing, ...other, formulas.condition({ kind: "some", keys, value: formulas.true }));
}

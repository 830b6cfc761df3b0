/** Whether a value satisfies a formula: a validator. */
import { matches } from "../automata/dfa.ts";
import { compare, decimalOf, isMultiple } from "./decimal.ts";
import { type Condition, conditionType, type Formula } from "./formula.ts";
import type { Formulas } from "./formulas.ts";
import { canonical, type JsonObject, type JsonValue, typeOf } from "./json.ts";
import { UnsupportedSchema } from "./problem.ts";

/** Deeper than any sensible chain of references from one value. */
const MAX_DEPTH = 500;

/** Throws `UnsupportedSchema` when references go in circles, and what patterns throw. */
export function evaluate(formulas: Formulas, formula: Formula, value: JsonValue, depth = 0): boolean {
  if (depth > MAX_DEPTH) throw new UnsupportedSchema("$ref", "a schema that refers to itself without end");
  const of = (part: Formula, inner: JsonValue) => evaluate(formulas, part, inner, depth + 1);
  switch (formula.kind) {
    case "true":
      return true;
    case "false":
      return false;
    case "and":
      return formula.parts.every((part) => of(part, value));
    case "or":
      return formula.parts.some((part) => of(part, value));
    case "reference":
      return of(formulas.resolve(formula.target, formula.negated), value);
    case "types":
      return formula.types.includes(typeOf(value));
    case "values":
      return formula.values.some((listed) => canonical(listed) === canonical(value)) !== formula.negated;
    default:
      return conditionType(formula.kind) !== typeOf(value) || holds(formulas, formula, value, of);
  }
}

function holds(
  formulas: Formulas,
  condition: Exclude<Condition, { kind: "types" | "values" }>,
  value: JsonValue,
  of: (part: Formula, inner: JsonValue) => boolean,
): boolean {
  switch (condition.kind) {
    case "pattern":
      return matches(formulas.patterns.get(condition.pattern, condition.whole), value as string) !== condition.negated;
    case "length":
      return isWithin([...(value as string)].length, condition);
    case "integer":
      return Number.isInteger(value) !== condition.negated;
    case "multiple":
      return isMultiple(decimalOf(value as number), decimalOf(condition.of)) !== condition.negated;
    case "bound":
      return isBounded(value as number, condition);
    case "every":
    case "some": {
      const covered = Object.keys(value as JsonObject).filter((key) => condition.keys.has(key));
      const fits = (key: string) => of(condition.value, (value as JsonObject)[key]!);
      return condition.kind === "every" ? covered.every(fits) : covered.some(fits);
    }
    case "properties":
      return isWithin(Object.keys(value as JsonObject).length, condition);
    case "size":
      return isWithin((value as JsonValue[]).length, condition);
    case "items":
      return (value as JsonValue[]).slice(condition.from, condition.to ?? undefined).every((item) => of(condition.value, item));
    case "least": {
      const items = (value as JsonValue[]).slice(condition.from, condition.to ?? undefined);
      return items.filter((item) => of(condition.value, item)).length >= condition.count;
    }
    case "most":
      return (value as JsonValue[]).filter((item) => of(condition.value, item)).length <= condition.count;
    case "unique": {
      const items = value as JsonValue[];
      return (new Set(items.map(canonical)).size === items.length) !== condition.negated;
    }
  }
}

function isWithin(count: number, { least, most }: { least: number; most: number | null }): boolean {
  return count >= least && (most === null || count <= most);
}

function isBounded(value: number, { at, relation }: Extract<Condition, { kind: "bound" }>): boolean {
  const order = compare(decimalOf(value), decimalOf(at));
  return relation === "<" ? order < 0 : relation === "<=" ? order <= 0 : relation === ">" ? order > 0 : order >= 0;
}

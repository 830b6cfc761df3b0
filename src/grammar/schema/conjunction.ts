/** Formulas on one type as alternatives of conditions that hold together. */
import { evaluate } from "./evaluate.ts";
import type { ConditionFormula, Formula } from "./formula.ts";
import type { Formulas } from "./formulas.ts";
import type { JsonValue } from "./json.ts";
import { UnsupportedSchema } from "./problem.ts";

/** What is known to hold together; immutable. */
export interface Conjunction<C> {
  readonly conditions: readonly ConditionFormula[];
  /** With one condition more; null when they contradict each other. */
  with(condition: ConditionFormula): C | null;
}

/** Of the only values that `conditions` leave (null: any), those that one condition more leaves. */
export function narrowValues(
  formulas: Formulas,
  values: readonly JsonValue[] | null,
  conditions: readonly ConditionFormula[],
  condition: ConditionFormula,
): readonly JsonValue[] | null {
  if (condition.kind === "values") {
    return condition.values.filter((value) => conditions.every((other) => evaluate(formulas, other, value)));
  }
  return values?.filter((value) => evaluate(formulas, condition, value)) ?? null;
}

const MAX_ALTERNATIVES = 256;

/** Every way in which `formula` can hold beside what `start` says. `negate` gives what the formula refuses, of the same type. */
export function alternatives<C extends Conjunction<C>>(formula: Formula, start: C, negate: (clause: Formula) => Formula): C[] {
  if (formula.kind === "or") {
    return limited(formula.parts.flatMap((part) => alternatives(part, start, negate)));
  }
  const parts = formula.kind === "and" ? formula.parts : [formula];
  let conjunction: C | null = start;
  for (const part of parts) {
    if (part.kind === "or" || part.kind === "true") continue;
    conjunction = part.kind === "false" ? null : conjunction.with(part as ConditionFormula);
    if (conjunction === null) return [];
  }
  let found: C[] = [conjunction];
  const clauses = parts.filter((part) => part.kind === "or").sort((a, b) => a.parts.length - b.parts.length);
  for (const clause of clauses) {
    const refused = negate(clause);
    found = limited(found.flatMap((one) => (isImplied(one, clause, refused) ? [one] : alternatives(clause, one, negate))));
  }
  return found;
}

/** Whether the clause holds anyway: one of its conditions is there, or what it refuses contradicts what is there. */
function isImplied<C extends Conjunction<C>>(conjunction: C, clause: Formula & { kind: "or" }, refused: Formula): boolean {
  if (clause.parts.some((part) => conjunction.conditions.some((condition) => (condition as Formula) === part))) return true;
  let rest: C | null = conjunction;
  for (const part of refused.kind === "and" ? refused.parts : [refused]) {
    if (part.kind === "false") return true;
    if (part.kind === "or" || part.kind === "and" || part.kind === "true") continue;
    rest = rest.with(part as ConditionFormula);
    if (rest === null) return true;
  }
  return false;
}

function limited<C>(list: C[]): C[] {
  if (list.length > MAX_ALTERNATIVES) {
    throw new UnsupportedSchema(
      "anyOf",
      `what it, oneOf, not, if and dependencies say together has more than ${MAX_ALTERNATIVES} alternatives`,
    );
  }
  return list;
}

import type { Alternative } from "../rules.ts";
import type { ArrayShape } from "./arrays.ts";
import { canonical, type JsonValue } from "./json.ts";
import { UnsupportedSchema } from "./problem.ts";
import type { SchemaWriter } from "./writer.ts";

/** Items that may follow sets of others: nine values in any order. */
const MAX_STEPS = 2500;

/**
 * Arrays whose items are all different: where they are among few values, rules remember which have come. Throws
 * `UnsupportedSchema` where they are not.
 */
export function writeUnique(shape: ArrayShape, writer: SchemaWriter): Alternative {
  const { negated, place } = shape.unique ?? { negated: false, place: null };
  const refuse = (reason: string): never => {
    throw new UnsupportedSchema("uniqueItems", reason, place);
  };
  if (negated) refuse("negated");
  if (shape.wanted.length > 0 || shape.rationed.length > 0) refuse("beside conditions on how many items are of a kind");
  const { rules, text, formulas } = writer;
  const values = new Map<string, { value: JsonValue; bit: bigint }>();
  const places = Array.from({ length: shape.uniformFrom + 1 }, (_, at) => {
    const listed = writer.listed(shape.item(at)) ?? refuse("no grammar can compare items that are not among listed values");
    for (const value of listed) {
      const name = canonical(value);
      if (!values.has(name)) values.set(name, { value, bit: 1n << BigInt(values.size) });
    }
    return listed.map(canonical);
  });
  const stem = rules.name("q");
  let steps = 0;

  /** What may follow `at` items of the set. */
  const from = (at: number, used: bigint): Alternative => {
    const name = `${stem}_${used}`;
    if (rules.has(name)) return [{ rule: name }];
    rules.set(name, []);
    const result: Alternative[] = [];
    if (at >= shape.least) result.push(at === 0 ? [{ text: "]" }] : [text.space, { text: "]" }]);
    const separator: Alternative = at === 0 ? [] : [{ text: "," }, text.space];
    const next = shape.most === null || at < shape.most ? places[Math.min(at, shape.uniformFrom)]! : [];
    for (const item of next) {
      const { value, bit } = values.get(item)!;
      if ((used & bit) !== 0n) continue;
      if (++steps > MAX_STEPS) refuse("too many values to choose from");
      result.push([...separator, writer.value(formulas.values([value])), ...from(at + 1, used | bit)]);
    }
    rules.set(name, result);
    return [{ rule: name }];
  };
  return [{ text: "[" }, text.space, ...from(0, 0n)];
}

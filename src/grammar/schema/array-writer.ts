import type { Alternative } from "../rules.ts";
import type { ArrayShape } from "./arrays.ts";
import type { Formula } from "./formula.ts";
import { UnsupportedSchema } from "./problem.ts";
import { writeUnique } from "./unique-items.ts";
import type { SchemaWriter } from "./writer.ts";

const MAX_COUNTED = 5000;

/** The arrays of a shape. */
export function writeArray(shape: ArrayShape, writer: SchemaWriter): Alternative {
  if (shape.unique) return writeUnique(shape, writer);
  if (Math.max(shape.least, shape.most ?? 0) > MAX_COUNTED) {
    throw new UnsupportedSchema(shape.least > MAX_COUNTED ? "minItems" : "maxItems", `more than ${MAX_COUNTED}`);
  }
  return [
    { text: "[" },
    writer.text.space,
    ...new ArrayWriter(shape, writer).from(0, { wanted: shape.wanted.map(() => 0), rationed: shape.rationed.map(() => 0) }),
  ];
}

/** How many items so far are of those that are wanted, and of those that may not be many. */
interface Counts {
  wanted: readonly number[];
  rationed: readonly number[];
}

class ArrayWriter {
  readonly #shape: ArrayShape;
  readonly #writer: SchemaWriter;
  readonly #stem: string;
  /** From this place on, all places are alike. */
  readonly #last: number;

  constructor(shape: ArrayShape, writer: SchemaWriter) {
    this.#shape = shape;
    this.#writer = writer;
    this.#stem = writer.rules.name("a");
    this.#last = shape.most ?? Math.max(shape.uniformFrom, shape.least, 1);
  }

  /** What may follow `place` items. */
  from(place: number, counts: Counts): Alternative {
    const at = Math.min(place, this.#last);
    const name = `${this.#stem}_${at}_${counts.wanted.join("_")}_${counts.rationed.join("_")}`;
    const { rules, text } = this.#writer;
    if (!rules.has(name)) {
      const { least, most, wanted } = this.#shape;
      rules.set(name, []);
      const result: Alternative[] = [];
      const satisfied = wanted.every(({ count }, i) => counts.wanted[i]! >= count);
      if (at >= least && satisfied) result.push(at === 0 ? [{ text: "]" }] : [text.space, { text: "]" }]);
      if (most === null || at < most) result.push(...this.#items(at, counts));
      rules.set(name, result);
    }
    return [{ rule: name }];
  }

  #items(at: number, counts: Counts): Alternative[] {
    const { formulas } = this.#writer;
    const separator: Alternative = at === 0 ? [] : [{ text: "," }, this.#writer.text.space];
    return this.#choices(at, counts).flatMap(({ conditions, next }) => {
      const value = formulas.and(this.#shape.item(at), ...conditions);
      if (this.#writer.isEmpty(value)) return [];
      return [[...separator, this.#writer.value(value), ...this.from(at + 1, next)]];
    });
  }

  /** Each way in which the next item counts, or does not, as one of those that are wanted and of those that may not be many. */
  #choices(at: number, counts: Counts): { conditions: Formula[]; next: Counts }[] {
    const { wanted, rationed } = this.#shape;
    const { formulas } = this.#writer;
    let choices: { conditions: Formula[]; next: Counts }[] = [{ conditions: [], next: counts }];
    wanted.forEach(({ count, from, to, value }, i) => {
      if (counts.wanted[i]! >= count || at < from || (to !== null && at >= to)) return;
      choices = choices.flatMap((choice) => {
        const more = choice.next.wanted.map((n, j) => (j === i ? n + 1 : n));
        return [choice, { conditions: [...choice.conditions, value], next: { ...choice.next, wanted: more } }];
      });
    });
    rationed.forEach(({ count, value }, i) => {
      choices = choices.flatMap((choice) => {
        const other = { ...choice, conditions: [...choice.conditions, formulas.not(value)] };
        if (counts.rationed[i]! >= count) return [other];
        const more = choice.next.rationed.map((n, j) => (j === i ? n + 1 : n));
        return [other, { conditions: [...choice.conditions, value], next: { ...choice.next, rationed: more } }];
      });
    });
    return choices;
  }
}

import type { Alternative } from "../rules.ts";
import type { Formula } from "./formula.ts";
import type { ObjectShape } from "./objects.ts";
import { UnsupportedSchema } from "./problem.ts";
import type { SchemaWriter } from "./writer.ts";

const MAX_COUNTED = 2000;
const MAX_WITNESSES = 2;

/** The objects of a shape: named members first, in their order, then the others. */
export function writeObject(shape: ObjectShape, writer: SchemaWriter): Alternative {
  const most = shape.most ?? Number.POSITIVE_INFINITY;
  const required = shape.named.filter((member) => member.required).length;
  if (shape.most !== null && shape.most > MAX_COUNTED) throw new UnsupportedSchema("maxProperties", `more than ${MAX_COUNTED}`);
  // A key may come twice and count once: of keys that are not named, only one is known to count.
  if (shape.least > shape.named.length + (shape.others.length > 0 ? 1 : 0) && shape.others.length > 0) {
    throw new UnsupportedSchema("minProperties", "more than the named properties and one");
  }
  if (shape.witnesses.length > MAX_WITNESSES) {
    throw new UnsupportedSchema("not", `more than ${MAX_WITNESSES} members have to be there without a known name`);
  }
  const counted = shape.least > required || shape.most !== null;
  const orders = shape.witnesses.length < 2 ? [shape.witnesses] : [shape.witnesses, [...shape.witnesses].reverse()];
  const [first, ...more] = orders.map((witnesses) => {
    return new ObjectWriter({ ...shape, witnesses }, writer, { most, counted }).begin();
  });
  const begin: Alternative = [{ text: "{" }, writer.text.space];
  if (more.length === 0) return [...begin, ...first!];
  return [...begin, { rule: writer.rules.set(writer.rules.name("o"), [first!, ...more]) }];
}

class ObjectWriter {
  readonly #shape: ObjectShape;
  readonly #writer: SchemaWriter;
  readonly #most: number;
  /** Whether the number of members matters. */
  readonly #counted: boolean;
  readonly #stem: string;

  constructor(shape: ObjectShape, writer: SchemaWriter, { most, counted }: { most: number; counted: boolean }) {
    this.#shape = shape;
    this.#writer = writer;
    this.#most = most;
    this.#counted = counted;
    this.#stem = writer.rules.name("o");
  }

  begin(): Alternative {
    return this.#named(0, 0, true);
  }

  /** What may follow when `count` of the first `at` named members are written; `first`: nothing is yet. */
  #named(at: number, count: number, first: boolean): Alternative {
    const { named, least } = this.#shape;
    const member = named[at];
    if (!member)
      return this.#others(
        0,
        Math.max(0, this.#counted ? least - count : 0),
        this.#counted ? this.#most - count : Number.POSITIVE_INFINITY,
        first,
      );
    return this.#rule(`n${at}_${count}${first ? "f" : ""}`, () => {
      const result: Alternative[] = [];
      if (!this.#counted || count < this.#most) {
        const pair: Alternative = [
          { text: `${JSON.stringify(member.name)}:` },
          this.#writer.text.gap,
          this.#writer.value(member.value),
        ];
        result.push([...this.#separator(first), ...pair, ...this.#named(at + 1, this.#counted ? count + 1 : 0, false)]);
      }
      if (!member.required) result.push(this.#named(at + 1, count, first));
      return result;
    });
  }

  /**
   * What may follow the named members when the first `done` witnesses are written, `needed` more members have to come, and
   * there is room for `room`.
   */
  #others(done: number, needed: number, room: number, first: boolean): Alternative {
    const { others, witnesses } = this.#shape;
    const name = `x${done}_${needed}_${room === Number.POSITIVE_INFINITY ? "" : room}${first ? "f" : ""}`;
    return this.#rule(name, () => {
      const result: Alternative[] = [];
      if (done === witnesses.length && needed === 0)
        result.push(first ? [{ text: "}" }] : [this.#writer.text.space, { text: "}" }]);
      if (room <= 0) return result;
      // Only one unnamed member is known to be no repetition.
      const counts = needed <= 1 || witnesses.length > 0;
      const rest = (written: number) => this.#others(written, counts ? Math.max(0, needed - 1) : needed, room - 1, false);
      const closed = new Set(witnesses.slice(0, done).map(({ other }) => other));
      others.forEach(({ keys, value }, i) => {
        if (!closed.has(i)) result.push([...this.#separator(first), ...this.#pair(i, value), ...rest(done)]);
        void keys;
      });
      const witness = witnesses[done];
      if (witness) result.push([...this.#separator(first), ...this.#pair(witness.other, witness.value), ...rest(done + 1)]);
      return result;
    });
  }

  #pair(other: number, value: Formula): Alternative {
    return [...this.#writer.key(this.#shape.others[other]!.keys), this.#writer.value(value)];
  }

  #separator(first: boolean): Alternative {
    return first ? [] : [{ text: "," }, this.#writer.text.space];
  }

  /** A rule of this object, made once. */
  #rule(suffix: string, alternatives: () => Alternative[]): Alternative {
    const { rules } = this.#writer;
    const name = `${this.#stem}_${suffix}`;
    if (!rules.has(name)) {
      rules.set(name, []);
      rules.set(name, alternatives());
    }
    return [{ rule: name }];
  }
}

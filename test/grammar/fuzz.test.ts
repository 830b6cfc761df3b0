/** Random schemas and values: what the grammars accept is what a validator, Ajv, accepts, but for the order of members. */
import { expect, test } from "bun:test";
import Ajv from "ajv/dist/2020.js";
import { Prng } from "../engine/prng.ts";
import { check } from "./accept.ts";

const NAMES = ["a", "b", "ab", "c"];
const VALUES = [null, true, false, 0, 1, 2, 3, -1.5, 6, "", "a", "ab", "abc", "b1"];
const TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"];

class Fuzzer {
  readonly #random: Prng;

  constructor(seed: number) {
    this.#random = new Prng(seed);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.#random.int(0, list.length - 1)]!;
  }

  #some<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.#random.int(1, most) }, make);
  }

  #members<T>(make: () => T): Record<string, T> {
    return Object.fromEntries(this.#some(3, () => [this.pick(NAMES), make()]));
  }

  value(depth: number): unknown {
    const kind = this.#random.int(0, depth > 0 ? 4 : 2);
    if (kind === 3) return this.#some(4, () => this.value(depth - 1)).slice(this.#random.int(0, 1));
    return kind === 4 ? this.#members(() => this.value(depth - 1)) : this.pick(VALUES);
  }

  schema(depth: number): unknown {
    if (this.#random.int(0, 19) === 0) return this.#random.int(0, 1) === 0;
    const { contains, ...rest } = Object.assign({}, ...this.#some(3, () => this.#keyword(depth))) as Record<string, unknown>;
    // Beside `prefixItems`, Ajv takes the empty array to contain anything.
    return contains === undefined || "prefixItems" in rest ? rest : { ...rest, contains };
  }

  #keyword(depth: number): object {
    const inner = () => this.schema(depth - 1);
    const few = () => this.#random.int(0, 3);
    const shallow: (() => object)[] = [
      () => ({ type: this.pick(TYPES) }),
      () => ({ type: [...new Set(this.#some(3, () => this.pick(TYPES)))] }),
      () => ({ enum: this.#some(4, () => this.value(1)) }),
      () => ({ const: this.value(1) }),
      () => ({ [this.pick(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])]: this.pick([-2, 0, 1, 2.5, 3]) }),
      () => ({ multipleOf: this.pick([1, 2, 3, 0.5]) }),
      () => ({ [this.pick(["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"])]: few() }),
      () => ({ pattern: this.pick(["^a", "b", "1$", "^[ab]*$", "^.$"]) }),
      () => ({ required: [...new Set(this.#some(2, () => this.pick(NAMES)))] }),
      () => ({ dependentRequired: { [this.pick(NAMES)]: [this.pick(NAMES)] } }),
      () => ({ uniqueItems: true }),
    ];
    const deep: (() => object)[] = [
      () => ({ properties: this.#members(inner) }),
      () => ({ properties: this.#members(inner), additionalProperties: inner() }),
      () => ({ patternProperties: { [this.pick(["^a", "b$", "c"])]: inner() } }),
      () => ({ additionalProperties: inner() }),
      () => ({
        propertyNames: this.pick<object>([{ pattern: "^a" }, { maxLength: 1 }, { enum: ["a", "c"] }, { not: { const: "b" } }]),
      }),
      () => ({ dependentSchemas: { [this.pick(NAMES)]: inner() } }),
      () => ({ items: inner() }),
      () => ({ prefixItems: this.#some(2, inner) }),
      () => ({ contains: inner(), ...(few() === 0 && { minContains: few() }), ...(few() === 0 && { maxContains: few() }) }),
      () => ({ not: inner() }),
      () => ({ [this.pick(["allOf", "anyOf", "oneOf"])]: this.#some(3, inner) }),
      () => ({ if: inner(), ...Object.fromEntries([[this.pick(["then", "else"]), inner()]]) }),
    ];
    return this.pick(depth > 0 && few() > 0 ? deep : shallow)();
  }
}

/** Texts of a value with its members in every order. */
function spellings(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [JSON.stringify(value)];
  if (Array.isArray(value)) return joined(value.map(spellings)).map((parts) => `[${parts}]`);
  const members = Object.entries(value).map(([key, inner]) => spellings(inner).map((text) => `${JSON.stringify(key)}:${text}`));
  return orders(members).flatMap((order) => joined(order).map((parts) => `{${parts}}`));
}

const joined = (lists: string[][]): string[] =>
  lists.reduce<string[]>((all, list, i) => all.flatMap((text) => list.map((one) => (i === 0 ? one : `${text},${one}`))), [""]);

function orders<T>(list: T[]): T[][] {
  if (list.length < 2) return [list];
  return list.flatMap((one, i) => orders(list.filter((_, j) => j !== i)).map((rest) => [one, ...rest]));
}

test("grammars of random schemas accept what Ajv accepts, and nothing else", async () => {
  const ajv = new Ajv({ strict: false });
  // It stumbles over what it notes for keywords that are not there.
  ajv.opts.unevaluated = false;
  const fuzzer = new Fuzzer(Number(process.env.MLX_CB_FUZZ_SEED ?? 7));
  const values = Array.from({ length: 60 }, () => fuzzer.value(2));
  const rounds = Number(process.env.MLX_CB_FUZZ_ROUNDS ?? 400);
  const counts = { honoured: 0, accepted: 0, missed: 0, refused: 0 };
  for (let round = 0; round < rounds; round++) {
    const schema = fuzzer.schema(2);
    const judge = ajv.compile(schema as object | boolean);
    const made = await check({ kind: "json_schema", schema });
    if ("problem" in made && made.problem !== "No value satisfies the schema.") continue;
    counts.honoured++;
    for (const value of values) {
      const valid = judge(value) as boolean;
      const texts = spellings(value);
      const accepted = texts.filter((text) => "accepts" in made && made.accepts(text));
      // No order of what is not valid is accepted; some order of what is valid is, where members do not have to be counted.
      if (!valid) expect({ schema, value, accepted }).toEqual({ schema, value, accepted: [] });
      counts[!valid ? "refused" : accepted.length > 0 ? "accepted" : "missed"]++;
    }
    if ("accepts" in made) made.dispose();
  }
  expect(counts.honoured).toBeGreaterThan(rounds * 0.7);
  expect(counts.accepted).toBeGreaterThan(rounds * 5);
  expect(counts.missed).toBeLessThan(counts.accepted / 200);
  expect(counts.refused).toBeGreaterThan(rounds * 5);
}, 60_000);

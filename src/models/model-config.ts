import { StartupError } from "../errors.ts";
import { isObject, type JsonObject } from "./model-json.ts";
import { describeValue } from "./wording.ts";

export { type JsonObject, parseModelJson } from "./model-json.ts";

/** A field's name, or its names in the order of preference: the first that is there is read. */
export type FieldName = string | readonly string[];

interface Default<D> {
  /** Taken when the field is absent or null. Without one such a field is an error. */
  default?: D;
}

interface Range<D> extends Default<D> {
  min?: number;
  max?: number;
}

/** Far above any real model and far below what would exhaust memory or overflow a shape in native code. */
const LIMITS: Readonly<Record<string, number>> = {
  hidden_size: 2 ** 20,
  intermediate_size: 2 ** 24,
  moe_intermediate_size: 2 ** 24,
  num_hidden_layers: 4096,
  num_attention_heads: 2 ** 16,
  num_key_value_heads: 2 ** 16,
  head_dim: 2 ** 16,
  vocab_size: 2 ** 24,
  max_position_embeddings: 2 ** 30,
  num_experts: 2 ** 16,
  num_local_experts: 2 ** 16,
};
const LARGEST_INT = 2 ** 31 - 1;
const LONGEST_LIST = 2 ** 16;

/**
 * Takes fields out of an untrusted configuration. A null counts as absent. A field of the wrong type, not finite or out of bounds
 * is a `StartupError` that names file and field. `where` is the file's name, with the path to the object inside when there is one.
 */
export class ConfigReader {
  readonly where: string;
  private readonly object: JsonObject;

  constructor(object: JsonObject, where: string) {
    this.object = object;
    this.where = where;
  }

  has(name: FieldName): boolean {
    return this.find(name).value !== undefined;
  }

  /** The names of all fields that are there. */
  names(): string[] {
    return Object.keys(this.object).filter((name) => this.has(name));
  }

  /** A whole number; `min` is 0 unless told, `max` a generous bound for the field. */
  int<D extends number | null = never>(name: FieldName, options: Range<D> = {}): number | D {
    return this.read(name, options, (value, key) => this.checkInt(value, key, options));
  }

  /** A finite number. */
  number<D extends number | null = never>(name: FieldName, options: Range<D> = {}): number | D {
    const { min = -Number.MAX_VALUE, max = Number.MAX_VALUE } = options;
    return this.read(name, options, (value, key) => {
      if (typeof value === "number" && value >= min && value <= max) return value;
      const bounds = options.min === undefined && options.max === undefined ? "" : ` ${rangeText(options.min, options.max)}`;
      throw this.wrong(key, value, `a finite number${bounds}`);
    });
  }

  boolean<D extends boolean | null = never>(name: FieldName, options: Default<D> = {}): boolean | D {
    return this.read(name, options, (value, key) => {
      if (typeof value !== "boolean") throw this.wrong(key, value, "true or false");
      return value;
    });
  }

  string<D extends string | null = never>(name: FieldName, options: Default<D> & { oneOf?: readonly string[] } = {}): string | D {
    const { oneOf } = options;
    return this.read(name, options, (value, key) => {
      if (typeof value !== "string") throw this.wrong(key, value, "a string");
      if (oneOf && !oneOf.includes(value)) throw this.wrong(key, value, `one of ${oneOf.join(", ")}`);
      return value;
    });
  }

  /** A list of whole numbers; a single one is a list of one, as `eos_token_id` is written both ways. */
  ints<D extends readonly number[] | null = never>(name: FieldName, options: Range<D> & { length?: number } = {}): number[] | D {
    return this.list(name, options, "whole numbers", (value, key) => this.checkInt(value, key, options));
  }

  /** A list of finite numbers, or, `unbounded`, of any but NaN; a single one is a list of one. */
  numbers<D extends readonly number[] | null = never>(
    name: FieldName,
    options: Default<D> & { length?: number; unbounded?: boolean } = {},
  ): number[] | D {
    return this.list(name, options, "numbers", (value, key) => {
      if (typeof value === "number" && (options.unbounded ? !Number.isNaN(value) : Number.isFinite(value))) return value;
      throw this.wrong(key, value, options.unbounded ? "a number" : "a finite number");
    });
  }

  /** A list of strings; a single one is a list of one. */
  strings<D extends readonly string[] | null = never>(
    name: FieldName,
    options: Default<D> & { length?: number } = {},
  ): string[] | D {
    return this.list(name, options, "strings", (value, key) => {
      if (typeof value !== "string") throw this.wrong(key, value, "a string");
      return value;
    });
  }

  /** The object inside a field, such as `rope_scaling`. */
  child(name: FieldName): ConfigReader {
    return this.read<ConfigReader, never>(name, {}, (value, key) => {
      if (!isObject(value)) throw this.wrong(key, value, "an object");
      return new ConfigReader(value, `${this.where}: ${key}`);
    });
  }

  /** The objects of a list, of which there must be `length`. */
  children(name: FieldName, { length }: { length: number }): ConfigReader[] {
    return this.list<ConfigReader, never>(name, { length }, "objects", (value, key) => {
      if (!isObject(value)) throw this.wrong(key, value, "an object");
      return new ConfigReader(value, `${this.where}: ${key}`);
    });
  }

  optionalChild(name: FieldName): ConfigReader | null {
    return this.has(name) ? this.child(name) : null;
  }

  isObject(name: FieldName): boolean {
    return isObject(this.find(name).value);
  }

  /** Whether a list or object has nothing in it. */
  isEmpty(name: FieldName): boolean {
    const { value } = this.find(name);
    return typeof value === "object" && value !== null && Object.keys(value).length === 0;
  }

  /** A field that may have several types, if it is a string; otherwise an empty one. */
  text(name: FieldName): string {
    const { value } = this.find(name);
    return typeof value === "string" ? value : "";
  }

  /** Whether a field that may have several types is just this. */
  is(name: FieldName, value: string | number | boolean): boolean {
    return this.find(name).value === value;
  }

  /** The same with `values` for fields that are not written at all; a null stays one. */
  withDefaults(values: JsonObject): ConfigReader {
    return new ConfigReader({ ...values, ...this.object }, this.where);
  }

  /** The same with other values for some fields. */
  with(values: JsonObject): ConfigReader {
    return new ConfigReader({ ...this.object, ...values }, this.where);
  }

  private list<T, D>(
    name: FieldName,
    options: Default<D> & { length?: number },
    kind: string,
    check: (value: unknown, key: string) => T,
  ): T[] | D {
    return this.read(name, options, (value, key) => {
      const items: unknown[] = Array.isArray(value) ? value : [value];
      const { length } = options;
      if (items.length > LONGEST_LIST) throw this.wrong(key, value, `a list of at most ${LONGEST_LIST} ${kind}`);
      if (length !== undefined && items.length !== length) throw this.wrong(key, value, `a list of ${length} ${kind}`);
      return items.map((item, index) => check(item, Array.isArray(value) ? `${key}[${index}]` : key));
    });
  }

  private read<T, D>(name: FieldName, options: Default<D>, check: (value: unknown, key: string) => T): T | D {
    const { key, value } = this.find(name);
    if (value !== undefined) return check(value, key);
    if (options.default !== undefined) return options.default;
    throw new StartupError(`${this.where} has no ${typeof name === "string" ? name : name.join(" or ")}`);
  }

  private checkInt(value: unknown, key: string, options: { min?: number; max?: number }): number {
    const { min = 0, max = (Object.hasOwn(LIMITS, key) ? LIMITS[key] : undefined) ?? LARGEST_INT } = options;
    if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value;
    throw this.wrong(key, value, `a whole number ${rangeText(min, max)}`);
  }

  /** `value` is undefined when absent or null; only own fields count, never `constructor` and the like. */
  private find(name: FieldName): { key: string; value: unknown } {
    const names = typeof name === "string" ? [name] : name;
    for (const key of names) {
      const value = Object.hasOwn(this.object, key) ? this.object[key] : undefined;
      if (value !== undefined && value !== null) return { key, value };
    }
    return { key: names[0] ?? "", value: undefined };
  }

  private wrong(key: string, value: unknown, wanted: string): StartupError {
    return new StartupError(`${this.where}: ${key} is ${describeValue(value)} but must be ${wanted}`);
  }
}

function rangeText(min: number | undefined, max: number | undefined): string {
  if (min === undefined) return `up to ${max}`;
  return max === undefined ? `from ${min}` : `from ${min} to ${max}`;
}

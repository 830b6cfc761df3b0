/**
 * Schemas as formulas: conditions on a value, joined by and/or. Each condition speaks of one type of values and holds for all
 * others. They are closed under negation, which is pushed down to them, so every formula is free of `not`.
 */
import type { JsonType, JsonValue } from "./json.ts";
import type { KeySet } from "./key-set.ts";

export type Condition =
  | { kind: "types"; types: readonly JsonType[] }
  /** One of the values, or (`negated`) none of them. */
  | { kind: "values"; values: readonly JsonValue[]; negated: boolean }
  /** Strings that the pattern matches: somewhere, or (`whole`) altogether. */
  | { kind: "pattern"; pattern: string; whole: boolean; negated: boolean }
  | { kind: "length"; least: number; most: number | null }
  /** Numbers that have no fraction. */
  | { kind: "integer"; negated: boolean }
  | { kind: "multiple"; of: number; negated: boolean }
  | { kind: "bound"; at: number; relation: "<" | "<=" | ">" | ">=" }
  /** Of an object, each value (some value) whose key is in the set. */
  | { kind: "every"; keys: KeySet; value: Formula }
  | { kind: "some"; keys: KeySet; value: Formula }
  | { kind: "properties"; least: number; most: number | null }
  /** Of an array, each item (at least so many items, at most so many) at the places from `from` to below `to`. */
  | { kind: "items"; from: number; to: number | null; value: Formula }
  | { kind: "least"; count: number; from: number; to: number | null; value: Formula }
  | { kind: "most"; count: number; value: Formula }
  | { kind: "size"; least: number; most: number | null }
  | { kind: "unique"; negated: boolean; place: string };

type Node =
  | { kind: "true" | "false" }
  | { kind: "and"; parts: readonly Formula[] }
  | { kind: "or"; parts: readonly Formula[] }
  /** Another place of the schema, by name. */
  | { kind: "reference"; target: string; negated: boolean }
  | Condition;

/** Equal formulas have equal ids, and are the same object. */
export type Formula = Node & { readonly id: number };
export type ConditionFormula = Condition & { readonly id: number };

const TYPE_OF_KIND: Record<Exclude<Condition["kind"], "types" | "values">, JsonType> = {
  pattern: "string",
  length: "string",
  integer: "number",
  multiple: "number",
  bound: "number",
  every: "object",
  some: "object",
  properties: "object",
  items: "array",
  least: "array",
  most: "array",
  size: "array",
  unique: "array",
};

/** The type of values that a condition speaks of; null for those that speak of all. */
export function conditionType(kind: Condition["kind"]): JsonType | null {
  return kind === "types" || kind === "values" ? null : TYPE_OF_KIND[kind];
}

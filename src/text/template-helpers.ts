import type { Environment } from "@huggingface/jinja";
import { stringMethods, strip } from "./python-strings.ts";
import { dumpJson, type JsonOptions, printValue, toFunction, toValue, type Value } from "./python-values.ts";

const iterables = new Set(["ArrayValue", "TupleValue", "ObjectValue", "StringValue", "UndefinedValue"]);

/** Functions that rewritten templates call; no template can spell these names. */
export const helpers: ReadonlyMap<string, Value> = new Map<string, Value>([
  ["@print", toFunction(([value]) => toValue(printValue(value!)))],
  ["@item", toFunction(([target, key]) => readItem(target!, key!))],
  ["@list", toFunction(([value]) => readList(value!))],
  ["@iterable", toFunction(([value]) => toValue(iterables.has(value!.type)))],
  [
    "@repeat",
    toFunction(([text, count]) => toValue(String(text!.value).repeat(Math.min(Math.max(Number(count!.value), 0), 10_000)))),
  ],
  ["@add", toFunction(([left, right]) => add(left!, right!))],
  ["@concat", toFunction(([left, right]) => toValue(printValue(left!) + printValue(right!)))],
  [
    "@trim",
    toFunction(([value, characters]) =>
      toValue(strip(printValue(value!), (characters?.value as string | null | undefined) ?? null, { left: true, right: true })),
    ),
  ],
  ["@tojson", toFunction(([value, ...args]) => toValue(dumpJson(value!, readJsonOptions(args))))],
  ...[...stringMethods.keys()].map((name): [string, Value] => [
    `@.${name}`,
    toFunction((args, scope) => callMethod(name, args, scope)),
  ]),
]);

function callMethod(name: string, args: Value[], scope: Environment): Value {
  const [target, ...rest] = args as [Value, ...Value[]];
  if (target.type === "StringValue") return toValue(stringMethods.get(name)?.(String(target.value), rest.map(unwrap)));
  // Not a string: a mapping, namespace or the like may have something callable of this name.
  const own = target.value instanceof Map ? target.value.get(name) : undefined;
  const callee = own ?? target.builtins.get(name);
  if (callee?.type !== "FunctionValue") throw new Error(`a ${target.type} has no method ${name}()`);
  return (callee.value as (args: Value[], scope: Environment) => Value)(rest, scope);
}

const numbers = new Set(["IntegerValue", "FloatValue", "BooleanValue"]);

/** A text takes numbers too, but never a list or mapping: nobody wants `[object Map]` in a prompt. */
function add(left: Value, right: Value): Value {
  const isPrintable = (value: Value) => value.type === "StringValue" || numbers.has(value.type);
  if (Array.isArray(left.value) && Array.isArray(right.value)) return withValue([], left.value.concat(right.value));
  if (numbers.has(left.type) && numbers.has(right.type)) {
    const isFloat = left.type === "FloatValue" || right.type === "FloatValue";
    return withValue(isFloat ? 0.5 : 0, Number(left.value) + Number(right.value));
  }
  if (isPrintable(left) && isPrintable(right)) return toValue(printValue(left) + printValue(right));
  throw new Error(`cannot add ${left.type} and ${right.type}`);
}

/** A value of the same kind as `example`, which alone decides between integer and float. */
function withValue(example: unknown, inner: unknown): Value {
  const value = toValue(example);
  (value as { value: unknown }).value = inner;
  return value;
}

/** `target[key]`; a key that does not fit is not there, where the library would fail. */
function readItem(target: Value, key: Value): Value {
  const name: unknown = key.value;
  const inner: unknown = target.value;
  let found: unknown;
  if (typeof name === "number" && Array.isArray(inner)) found = inner.at(name);
  else if (typeof name === "number" && typeof inner === "string") found = toText([...inner].at(name));
  else if (typeof name === "string") found = (inner instanceof Map ? inner.get(name) : undefined) ?? target.builtins.get(name);
  return (found as Value | undefined) ?? toValue(undefined);
}

/** What a loop goes over: nothing for undefined, the characters of a text. */
function readList(value: Value): Value {
  if (value.type === "NullValue" || value.type === "UndefinedValue") return toValue([]);
  return value.type === "StringValue" ? toValue([...String(value.value)]) : value;
}

function toText(text: string | undefined): Value | undefined {
  return text === undefined ? undefined : toValue(text);
}

function unwrap(value: Value): unknown {
  return Array.isArray(value.value) ? value.value.map(unwrap) : value.value;
}

/** `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, as in transformers. */
function readJsonOptions(args: Value[]): JsonOptions {
  const named = args.find((arg) => (arg.type as string) === "KeywordArgumentsValue")?.value as Map<string, Value> | undefined;
  const placed = args.filter((arg) => (arg.type as string) !== "KeywordArgumentsValue");
  const read = (name: string, index: number) => unwrap(named?.get(name) ?? placed[index] ?? toValue(null));
  const indent = read("indent", 1);
  const separators = read("separators", 2);
  return {
    ensureAscii: read("ensure_ascii", 0) === true,
    indent: typeof indent === "number" ? Math.max(0, indent) : null,
    separators: Array.isArray(separators) && separators.length === 2 ? [String(separators[0]), String(separators[1])] : null,
    sortKeys: read("sort_keys", 3) === true,
  };
}

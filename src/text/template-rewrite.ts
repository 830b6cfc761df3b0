import { parse, tokenize } from "@huggingface/jinja";
import { stringMethods } from "./python-strings.ts";

interface Node {
  type: string;
  [key: string]: unknown;
}

const expressions = new Set([
  "Identifier",
  "MemberExpression",
  "CallExpression",
  "BinaryExpression",
  "FilterExpression",
  "TestExpression",
  "SelectExpression",
  "UnaryExpression",
  "Ternary",
  "ArrayLiteral",
  "TupleLiteral",
  "ObjectLiteral",
  "IntegerLiteral",
  "FloatLiteral",
]);
const blocks = new Set(["body", "alternate", "defaultBlock"]);
/** What is assigned to is not evaluated. */
const targets = new Set(["loopvar", "assignee"]);
const listFilters = new Set(["selectattr", "rejectattr", "map"]);

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as Node).type === "string";
}

/**
 * Rewrites everything below a node of a parsed template, and gives what stands in its place: where the library does not do as
 * Python does, a call of one of our helpers.
 */
export function rewrite(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(rewrite);
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [rewrite(key), rewrite(item)]));
  if (!isNode(value)) return value;
  for (const [key, child] of Object.entries(value)) {
    if (targets.has(key)) continue;
    const changed = rewrite(child);
    const isBlock = blocks.has(key) && Array.isArray(changed);
    value[key] = isBlock ? changed.map((node) => (expressions.has(node.type) ? callHelper("@print", [node]) : node)) : changed;
  }
  // The library cannot unpack its tuples in a loop.
  if (value.type === "TupleLiteral") value.type = "ArrayLiteral";
  if (value.type === "For") wrapIterable(value);
  return (
    replaceFilter(value) ?? replaceMethod(value) ?? replaceItem(value) ?? replaceOperator(value) ?? replaceTest(value) ?? value
  );
}

function wrapIterable(loop: Node): void {
  const iterable = loop.iterable as Node;
  // `for x in list if test`
  if (iterable.type === "SelectExpression") iterable.lhs = callHelper("@list", [iterable.lhs as Node]);
  else loop.iterable = callHelper("@list", [iterable]);
}

function replaceFilter(node: Node): Node | null {
  if (node.type !== "FilterExpression") return null;
  const filter = node.filter as Node;
  const name = filter.type === "CallExpression" ? (filter.callee as Node).value : filter.value;
  const args = filter.type === "CallExpression" ? (filter.args as Node[]) : [];
  if (listFilters.has(String(name))) node.operand = callHelper("@list", [node.operand as Node]);
  if (name !== "tojson" && name !== "string" && name !== "trim") return null;
  return callHelper(`@${name === "string" ? "print" : name}`, [node.operand as Node, ...args]);
}

function replaceMethod(node: Node): Node | null {
  if (node.type !== "CallExpression") return null;
  const callee = node.callee as Node;
  if (callee.type !== "MemberExpression" || callee.computed) return null;
  const name = String((callee.property as Node).value);
  return stringMethods.has(name) ? callHelper(`@.${name}`, [callee.object as Node, ...(node.args as Node[])]) : null;
}

function replaceItem(node: Node): Node | null {
  if (node.type !== "MemberExpression" || !node.computed || (node.property as Node).type === "SliceExpression") return null;
  return callHelper("@item", [node.object as Node, node.property as Node]);
}

function replaceOperator(node: Node): Node | null {
  if (node.type !== "BinaryExpression") return null;
  const operands = [node.left as Node, node.right as Node];
  const operator = (node.operator as { value: string }).value;
  if (operator === "~") return callHelper("@concat", operands);
  if (operator === "+") return callHelper("@add", operands);
  return operator === "*" && operands[0]!.type === "StringLiteral" ? callHelper("@repeat", operands) : null;
}

function replaceTest(node: Node): Node | null {
  if (node.type !== "TestExpression" || (node.test as Node).value !== "iterable") return null;
  const test = callHelper("@iterable", [node.operand as Node]);
  return node.negate ? { ...parseExpression("not x"), argument: test } : test;
}

/** A call node: the classes are not exported, so one is parsed and filled. */
function callHelper(name: string, args: Node[]): Node {
  const call = parseExpression("helper()");
  (call.callee as Node).value = name;
  call.args = args;
  return call;
}

function parseExpression(source: string): Node {
  return parse(tokenize(`{{ ${source} }}`)).body[0] as unknown as Node;
}

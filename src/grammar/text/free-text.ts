/** Text of any content in which certain strings have a meaning, found as Aho and Corasick do (1975). */
import { ANY_CHAR, type CharSet, charSet, FIRST_SPECIAL, MOST_SPECIALS, subtract, unite } from "../automata/char-set.ts";
import type { Alternative, Rules } from "../rules.ts";

/** What texts consist of, special tokens included. */
const ANYTHING: CharSet = unite(ANY_CHAR, [FIRST_SPECIAL, FIRST_SPECIAL + MOST_SPECIALS - 1]);

/** When this sequence of characters (or special tokens) has come, the rest is what follows. */
export interface Stop {
  chars: readonly number[];
  rest: Alternative;
}

interface Node {
  next: Map<number, Node>;
  /** Where one is when the next character does not fit: at the longest end of what was read that begins a stop. */
  fail: Node | null;
  stop: Stop | null;
  rule: string;
}

/** Text up to the first stop and what follows it; `mayEnd`: or up to the end of the output. The rule is `name`. */
export function writeFreeText(name: string, stops: readonly Stop[], mayEnd: boolean, rules: Rules): void {
  const nodes: Node[] = [];
  const make = (): Node => {
    const rule = nodes.length === 0 ? name : `${name}_${nodes.length}`;
    const node: Node = { next: new Map(), fail: null, stop: null, rule };
    nodes.push(node);
    return node;
  };
  const root = make();
  for (const stop of stops) {
    let at = root;
    for (const char of stop.chars) {
      const to = at.next.get(char) ?? make();
      at.next.set(char, to);
      at = to;
    }
    at.stop = stop;
  }
  linkFailures(root);
  for (const node of nodes) {
    if (node.stop) continue;
    const ways = waysOf(node, root);
    const listed = charSet([...ways.keys()].map((char) => [char, char]));
    const others = rules.chars(subtract(ANYTHING, listed)).map((way) => [...way, { rule: root.rule }]);
    const known = [...ways].flatMap(([char, to]) => {
      return rules.chars([char, char]).map((way) => [...way, ...(to.stop ? to.stop.rest : [{ rule: to.rule }])]);
    });
    rules.set(node.rule, [...(mayEnd ? [[]] : []), ...known, ...others]);
  }
}

function linkFailures(root: Node): void {
  const open = [root];
  for (const node of open) {
    for (const [char, to] of node.next) {
      let fail = node.fail;
      while (fail && !fail.next.has(char)) fail = fail.fail;
      to.fail = fail?.next.get(char) ?? root;
      // A stop that ends within a longer one comes first.
      to.stop ??= to.fail.stop;
      open.push(to);
    }
  }
}

/** By character, for all that do not lead back to the beginning. */
function waysOf(node: Node, root: Node): Map<number, Node> {
  const ways = new Map<number, Node>();
  for (let at: Node | null = node; at; at = at.fail) {
    for (const [char, to] of at.next) if (!ways.has(char)) ways.set(char, to);
  }
  for (const [char, to] of ways) if (to === root) ways.delete(char);
  return ways;
}

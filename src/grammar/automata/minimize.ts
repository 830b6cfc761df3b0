import type { Dfa } from "./dfa.ts";

/** The smallest automaton of the same language: states that lead nowhere go, equal ones become one (Hopcroft 1971). */
export function minimize(dfa: Dfa): Dfa {
  const { width } = dfa.alphabet;
  const live = liveStates(dfa);
  if (!live[0])
    return mergeColumns({ alphabet: dfa.alphabet, table: new Int32Array(width).fill(-1), accepting: Uint8Array.of(0) });
  const kept = [...live.keys()].filter((state) => live[state] === 1);
  const sink = kept.length;
  const number = new Int32Array(live.length).fill(sink);
  kept.forEach((state, i) => {
    number[state] = i;
  });
  // Complete: with a sink for all that leads nowhere.
  const table = new Int32Array((sink + 1) * width).fill(sink);
  kept.forEach((state, i) => {
    for (let name = 0; name < width; name++) {
      const to = dfa.table[state * width + name]!;
      if (to >= 0) table[i * width + name] = number[to]!;
    }
  });
  const accepting = Uint8Array.from([...kept.map((state) => dfa.accepting[state]!), 0]);
  const blockOf = refine(table, accepting, width);
  return mergeColumns(quotient(dfa, table, accepting, blockOf, sink));
}

/** States from which something is accepted. */
function liveStates({ alphabet: { width }, table, accepting }: Dfa): Uint8Array {
  const into: number[][] = Array.from({ length: accepting.length }, () => []);
  for (let state = 0; state < accepting.length; state++) {
    for (const to of new Set(table.subarray(state * width, (state + 1) * width))) if (to >= 0) into[to]!.push(state);
  }
  const live = Uint8Array.from(accepting);
  const open = [...live.keys()].filter((state) => live[state] === 1);
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (const from of into[state]!) {
      if (live[from]) continue;
      live[from] = 1;
      open.push(from);
    }
  }
  return live;
}

/** Block of each state of a complete automaton; states of one block accept the same. */
function refine(table: Int32Array, accepting: Uint8Array, width: number): Int32Array {
  const count = accepting.length;
  const sources = invert(table, count, width);
  // States sorted by block: block b is order[begin[b] .. end[b]].
  const order = Int32Array.from([...accepting.keys()].sort((a, b) => accepting[a]! - accepting[b]!));
  const place = new Int32Array(count);
  order.forEach((state, at) => {
    place[state] = at;
  });
  const refusing = accepting.reduce((sum, accepts) => sum + (accepts ? 0 : 1), 0);
  const blockOf = Int32Array.from(accepting, (accepts) => (accepts && refusing > 0 ? 1 : 0));
  const begin = refusing > 0 && refusing < count ? [0, refusing] : [0];
  const end = begin.length === 2 ? [refusing, count] : [count];
  if (begin.length === 1) blockOf.fill(0);
  const marked = begin.map(() => 0);
  const waiting = new Set<number>(begin.flatMap((_, block) => Array.from({ length: width }, (_, name) => block * width + name)));
  for (const splitter of waiting) {
    waiting.delete(splitter);
    const block = Math.floor(splitter / width);
    const name = splitter % width;
    const touched: number[] = [];
    for (const state of order.slice(begin[block]!, end[block]!)) {
      const cell = name * count + state;
      for (let i = sources.first[cell]!; i < sources.first[cell + 1]!; i++) {
        const from = sources.list[i]!;
        const of = blockOf[from]!;
        // Marked states gather at the begin of their block.
        const to = begin[of]! + marked[of]!;
        if (place[from]! < to) continue;
        const other = order[to]!;
        const at = place[from]!;
        order[to] = from;
        order[at] = other;
        place[from] = to;
        place[other] = at;
        if (marked[of] === 0) touched.push(of);
        marked[of]!++;
      }
    }
    for (const of of touched) {
      const size = marked[of]!;
      marked[of] = 0;
      if (size === end[of]! - begin[of]!) continue;
      const fresh = begin.length;
      begin.push(begin[of]!);
      end.push(begin[of]! + size);
      marked.push(0);
      begin[of] = begin[of]! + size;
      for (let at = begin[fresh]!; at < end[fresh]!; at++) blockOf[order[at]!] = fresh;
      const smaller = size <= end[of]! - begin[of]! ? fresh : of;
      for (let c = 0; c < width; c++) waiting.add((waiting.has(of * width + c) ? fresh : smaller) * width + c);
    }
  }
  return blockOf;
}

/** By class and state: where one comes from. */
function invert(table: Int32Array, count: number, width: number): { first: Int32Array; list: Int32Array } {
  const first = new Int32Array(count * width + 1);
  for (let state = 0; state < count; state++) {
    for (let name = 0; name < width; name++) first[name * count + table[state * width + name]! + 1]!++;
  }
  for (let cell = 0; cell < count * width; cell++) first[cell + 1]! += first[cell]!;
  const next = first.slice();
  const list = new Int32Array(count * width);
  for (let state = 0; state < count; state++) {
    for (let name = 0; name < width; name++) list[next[name * count + table[state * width + name]!]!++] = state;
  }
  return { first, list };
}

/** One state a block but the sink's, numbered in the order in which they are reached. */
function quotient({ alphabet }: Dfa, table: Int32Array, accepting: Uint8Array, blockOf: Int32Array, sink: number): Dfa {
  const { width } = alphabet;
  const reached = [0];
  const number = new Map<number, number>([[blockOf[0]!, 0]]);
  const rows: number[] = [];
  for (let at = 0; at < reached.length; at++) {
    for (let name = 0; name < width; name++) {
      const to = table[reached[at]! * width + name]!;
      const block = blockOf[to]!;
      if (block === blockOf[sink]) {
        rows.push(-1);
        continue;
      }
      let id = number.get(block);
      if (id === undefined) {
        id = reached.length;
        number.set(block, id);
        reached.push(to);
      }
      rows.push(id);
    }
  }
  return { alphabet, table: Int32Array.from(rows), accepting: Uint8Array.from(reached, (state) => accepting[state]!) };
}

/** Classes with equal columns become one. */
function mergeColumns({ alphabet, table, accepting }: Dfa): Dfa {
  const { width } = alphabet;
  const names = new Map<string, number>();
  const merged: number[] = [];
  const kept: number[] = [];
  for (let column = 0; column < width; column++) {
    let name = "";
    for (let state = 0; state < accepting.length; state++) name += `${table[state * width + column]},`;
    if (!names.has(name)) {
      names.set(name, names.size);
      kept.push(column);
    }
    merged.push(names.get(name)!);
  }
  if (kept.length === width) return { alphabet, table, accepting };
  const narrow = new Int32Array(accepting.length * kept.length);
  for (let state = 0; state < accepting.length; state++) {
    kept.forEach((column, i) => {
      narrow[state * kept.length + i] = table[state * width + column]!;
    });
  }
  return { alphabet: alphabet.merge(merged, kept.length), table: narrow, accepting };
}

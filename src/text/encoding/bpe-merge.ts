import type { PairMap } from "./pair-map.ts";

/** Pairs handled between two pauses. */
const stride = 512;
const positionSpan = 2 ** 32;

/** Merges in place, looking at all neighbours each time: the fastest way for a word. */
export function mergeShort(ids: number[], merges: PairMap): void {
  while (ids.length > 1) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let index = 0; index + 1 < ids.length; index++) {
      const handle = merges.lookup(ids[index]!, ids[index + 1]!);
      if (handle < 0 || merges.first(handle) >= bestRank) continue;
      bestRank = merges.first(handle);
      best = index;
    }
    if (best < 0) return;
    ids[best] = merges.second(merges.lookup(ids[best]!, ids[best + 1]!));
    ids.splice(best + 1, 1);
  }
}

/** The same with a queue of pairs, in n log n; pauses now and then. Appends the result to `out`. */
export function* mergeLong(symbols: readonly number[], merges: PairMap, out: number[]): Generator<void> {
  const count = symbols.length;
  const ids = Int32Array.from(symbols);
  const next = Int32Array.from(symbols, (_, index) => index + 1);
  const previous = Int32Array.from(symbols, (_, index) => index - 1);
  const queue = new Queue(count);
  const rankAt = (index: number): number => {
    const right = next[index]!;
    const handle = right < count ? merges.lookup(ids[index]!, ids[right]!) : -1;
    return handle < 0 ? -1 : merges.first(handle);
  };
  const enqueue = (index: number) => {
    const rank = rankAt(index);
    if (rank >= 0) queue.push(rank * positionSpan + index);
  };
  for (let index = 0; index < count; index++) {
    enqueue(index);
    if (index % stride === stride - 1) yield;
  }
  for (let turns = 1; queue.size > 0; turns++) {
    if (turns % stride === 0) yield;
    const key = queue.pop();
    const index = key % positionSpan;
    // What was queued may have been merged since, alone or with another.
    if (ids[index]! < 0 || rankAt(index) !== Math.floor(key / positionSpan)) continue;
    const right = next[index]!;
    ids[index] = merges.second(merges.lookup(ids[index]!, ids[right]!));
    ids[right] = -1;
    next[index] = next[right]!;
    if (next[index]! < count) previous[next[index]!] = index;
    if (previous[index]! >= 0) enqueue(previous[index]!);
    enqueue(index);
  }
  for (let index = 0; index < count; index = next[index]!) out.push(ids[index]!);
}

/** A binary heap of numbers, the smallest first. */
class Queue {
  private heap: Float64Array;
  size = 0;

  constructor(expected: number) {
    this.heap = new Float64Array(Math.max(16, expected));
  }

  push(key: number): void {
    if (this.size === this.heap.length) {
      const larger = new Float64Array(2 * this.size);
      larger.set(this.heap);
      this.heap = larger;
    }
    const { heap } = this;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! <= key) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = key;
  }

  pop(): number {
    const { heap } = this;
    const top = heap[0]!;
    const last = heap[--this.size]!;
    let at = 0;
    for (let child = 1; child < this.size; child = 2 * at + 1) {
      if (child + 1 < this.size && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= last) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

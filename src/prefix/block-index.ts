/**
 * Which blocks are in memory: a forest of chains, the longest used parts of which stay. A block is there only with all before it;
 * what goes first is the end of the chain that has been used least recently. Pure: payloads are whatever the owner keeps.
 */

export interface Payload {
  readonly bytes: number;
  free(): void;
}

export interface Block<P extends Payload> {
  readonly key: string;
  readonly parent: Block<P> | null;
  /** Keys and values of the block's tokens; null in a model that has only states. */
  readonly tokens: P | null;
  /** The recurrent states after the block's last token, where one was kept. */
  state: P | null;
  children: number;
  lastUse: number;
}

/** An entry of the heap; stale when the block has been used since, has got children, or is gone. */
interface Leaf<P extends Payload> {
  block: Block<P>;
  lastUse: number;
}

/** What a block takes besides its payloads, about: without it a model that has only states would have blocks without end. */
export const BLOCK_OVERHEAD = 256;

export class BlockIndex<P extends Payload> {
  readonly #blocks = new Map<string, Block<P>>();
  /** Binary heap of ends of chains, the least recently used on top. */
  #leaves: Leaf<P>[] = [];
  #limit: number;
  #bytes = 0;
  #clock = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#blocks.size;
  }

  /** Whether the limit leaves room for a block of so many bytes, with nothing else beside it. */
  takes(bytes: number): boolean {
    return BLOCK_OVERHEAD + bytes <= this.#limit;
  }

  get(key: string): Block<P> | undefined {
    return this.#blocks.get(key);
  }

  /** How many of the keys, from the first on, are there; they count as used now. */
  find(keys: readonly string[]): Block<P>[] {
    const found: Block<P>[] = [];
    for (const key of keys) {
      const block = this.#blocks.get(key);
      if (!block) break;
      found.push(block);
    }
    if (found.length > 0) this.#use(found.at(-1)!);
    return found;
  }

  /** Changes the limit; what is above it goes. */
  limitTo(bytes: number): void {
    this.#limit = bytes;
    if (this.#bytes > bytes) this.#evict(bytes, null);
  }

  /** Whether so many bytes fit beside what must stay: the chain that ends with `after`. Evicts what it takes. */
  makeRoom(bytes: number, after: string | null): boolean {
    if (this.#bytes + bytes <= this.#limit) return true;
    if (bytes > this.#limit) return false;
    const kept = after === null ? null : (this.#blocks.get(after) ?? null);
    if (kept) this.#use(kept);
    this.#evict(this.#limit - bytes, kept);
    return this.#bytes + bytes <= this.#limit;
  }

  /** Adds a block behind `parent` (null: a first one). False, and nothing kept, when it is there, its parent is not, or there is no room. */
  add(parent: string | null, key: string, tokens: P | null): boolean {
    const before = parent === null ? null : this.#blocks.get(parent);
    const bytes = BLOCK_OVERHEAD + (tokens?.bytes ?? 0);
    if (before === undefined || this.#blocks.has(key) || !this.makeRoom(bytes, parent)) return false;
    const block: Block<P> = { key, parent: before, tokens, state: null, children: 0, lastUse: 0 };
    if (before) before.children++;
    this.#blocks.set(key, block);
    this.#bytes += bytes;
    this.#use(block);
    return true;
  }

  /** Adds the states after a block. False, and nothing kept, when the block is not there, has one, or there is no room. */
  addState(key: string, state: P): boolean {
    const block = this.#blocks.get(key);
    if (!block || block.state || !this.makeRoom(state.bytes, key)) return false;
    block.state = state;
    this.#bytes += state.bytes;
    return true;
  }

  /** Drops the states after a block, if there are any. */
  dropState(key: string): void {
    const block = this.#blocks.get(key);
    if (!block?.state) return;
    this.#bytes -= block.state.bytes;
    block.state.free();
    block.state = null;
  }

  clear(): void {
    this.#evict(0, null);
  }

  #use(block: Block<P>): void {
    const now = ++this.#clock;
    for (let at: Block<P> | null = block; at !== null; at = at.parent) at.lastUse = now;
    if (block.children === 0) this.#push({ block, lastUse: now });
  }

  /** Drops ends of chains until no more than `bytes` are left; `kept` and what is before it stay. */
  #evict(bytes: number, kept: Block<P> | null): void {
    let spared: Leaf<P> | null = null;
    while (this.#bytes > bytes) {
      const leaf = this.#pop();
      if (leaf === null) break;
      const { block } = leaf;
      if (block.children > 0 || block.lastUse !== leaf.lastUse || this.#blocks.get(block.key) !== block) continue;
      if (block === kept) spared = leaf;
      else this.#drop(block);
    }
    if (spared) this.#push(spared);
  }

  #drop(block: Block<P>): void {
    this.#blocks.delete(block.key);
    this.#bytes -= BLOCK_OVERHEAD;
    for (const payload of [block.tokens, block.state]) {
      if (payload === null) continue;
      this.#bytes -= payload.bytes;
      payload.free();
    }
    const { parent } = block;
    if (parent === null) return;
    parent.children--;
    if (parent.children === 0) this.#push({ block: parent, lastUse: parent.lastUse });
  }

  #push(leaf: Leaf<P>): void {
    const heap = this.#leaves;
    // Stale entries are left behind by every use: sift them out before they outnumber the blocks.
    if (heap.length > 64 + 4 * this.#blocks.size) this.#rebuild();
    let at = this.#leaves.push(leaf) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (this.#leaves[above]!.lastUse <= leaf.lastUse) break;
      this.#leaves[at] = this.#leaves[above]!;
      at = above;
    }
    this.#leaves[at] = leaf;
  }

  #rebuild(): void {
    const leaves = [...this.#blocks.values()].filter(({ children }) => children === 0);
    this.#leaves = leaves.map((block) => ({ block, lastUse: block.lastUse })).sort((a, b) => a.lastUse - b.lastUse);
  }

  #pop(): Leaf<P> | null {
    const heap = this.#leaves;
    const top = heap[0];
    if (top === undefined) return null;
    const last = heap.pop()!;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.lastUse < heap[below]!.lastUse) below++;
      if (heap[below]!.lastUse >= last.lastUse) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = last;
    return top;
  }
}

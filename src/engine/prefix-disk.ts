/** Between the prefix cache's blocks in memory and those on disk. */

import type { CacheSpec } from "../kv/cache.ts";
import { contentWidths } from "../kv/row-size.ts";
import { macrotask } from "../macrotask.ts";
import { fromBytes, readBytes, scope, shapeOf } from "../mlx/array.ts";
import { DTYPES, type Dtype } from "../mlx/dtype.ts";
import type { BlockContent } from "../prefix/block-file.ts";
import type { DiskStore } from "../prefix/disk-store.ts";
import { BLOCK_TOKENS } from "../prefix/keys.ts";
import { ArrayPayload, type NewContent } from "./array-payload.ts";
import type { PrefixCache } from "./prefix-cache.ts";
import type { PrefixSequence } from "./prefix-sequence.ts";

/** Shapes of what is kept: of a block (null: nothing), and of the states (null: none). */
export interface ContentShapes {
  dtype: Dtype;
  tokens: readonly [tokens: number, width: number] | null;
  state: readonly [size: number] | null;
}

export function contentShapes(caches: readonly CacheSpec[], dtype: Dtype): ContentShapes {
  const { token, state } = contentWidths(caches);
  return { dtype, tokens: token > 0 ? [BLOCK_TOKENS, token] : null, state: state > 0 ? [state] : null };
}

const NAMES = new Map<Dtype, BlockContent["dtype"]>([
  [DTYPES.float32, "F32"],
  [DTYPES.float16, "F16"],
  [DTYPES.bfloat16, "BF16"],
]);

/** What somebody wants of a sequence's beginning. */
export interface LoadRequest {
  keys: readonly string[];
  /** How many of the blocks are of use. */
  most: number;
  isWanted(): boolean;
}

export class PrefixDisk<T extends PrefixSequence> {
  readonly #store: DiskStore;
  readonly #shapes: ContentShapes;
  readonly #cache: PrefixCache<T>;
  /** What is being read, by key and kind: whoever wants the same waits for it. */
  readonly #reading = new Map<string, Promise<void>>();
  /** Another one begins when everything is forgotten: what was read before is not taken. */
  #era = 0;
  /** Nothing is read while the files are being removed, or when the engine is closed. */
  #holds = 0;

  constructor(store: DiskStore, shapes: ContentShapes, cache: PrefixCache<T>) {
    this.#store = store;
    this.#shapes = shapes;
    this.#cache = cache;
  }

  /** Writes behind what has been kept in memory. */
  async save(contents: readonly NewContent[]): Promise<void> {
    const era = this.#era;
    for (const { key, depth, kind, payload } of contents) {
      if (!this.#store.writing || this.#era !== era) return;
      const data = readBytes(payload.array);
      this.#store.write({ ...this.#describe(key, kind), shape: shapeOf(payload.array), data }, depth);
      // A block may be megabytes, which are copied and summed up.
      await macrotask();
    }
  }

  /** Reads what is there of these blocks, in order, into memory. */
  async load({ keys, most, isWanted }: LoadRequest): Promise<void> {
    const { index } = this.#cache;
    const { tokens, state } = this.#shapes;
    const found = index.find(keys.slice(0, most));
    const known = state ? found.findLastIndex((block) => block.state !== null) + 1 : found.length;
    let end = found.length;
    while (tokens && end < most && isWanted() && (await this.#store.has({ key: keys[end]!, kind: "tokens", depth: end }))) end++;
    if (!tokens) end = most;
    if (state) end = await this.#lastState(keys, known, end);
    for (let depth = found.length; depth < end && isWanted(); depth++) {
      if (!index.get(keys[depth]!)) await this.#load(keys, depth, "tokens");
      if (!index.get(keys[depth]!)) return;
    }
    if (state && end > known && isWanted()) await this.#load(keys, end - 1, "state");
  }

  async clear(): Promise<void> {
    this.#era++;
    this.#holds++;
    try {
      await this.#store.clear();
    } finally {
      this.#holds--;
    }
  }

  /** Takes nothing more into memory. */
  stop(): void {
    this.#holds++;
  }

  /** Waits until what is queued has been written. */
  async flush(): Promise<void> {
    await this.#store.flush();
  }

  /** How many blocks there are up to the last one with a state on disk. */
  async #lastState(keys: readonly string[], start: number, end: number): Promise<number> {
    for (let blocks = end; blocks > start; blocks--) {
      if (await this.#store.has({ key: keys[blocks - 1]!, kind: "state", depth: blocks - 1 })) return blocks;
    }
    return start;
  }

  /** Reads one thing once, however many want it. */
  async #load(keys: readonly string[], depth: number, kind: NewContent["kind"]): Promise<void> {
    const name = `${kind} ${keys[depth]}`;
    let reading = this.#reading.get(name);
    if (!reading) {
      reading = this.#readInto(keys, depth, kind).finally(() => this.#reading.delete(name));
      this.#reading.set(name, reading);
    }
    await reading;
  }

  async #readInto(keys: readonly string[], depth: number, kind: NewContent["kind"]): Promise<void> {
    const { index } = this.#cache;
    const { tokens, state, dtype } = this.#shapes;
    const key = keys[depth]!;
    const before = keys[depth - 1] ?? null;
    const shape = kind === "tokens" ? tokens : state;
    if (this.#holds > 0) return;
    if (shape === null) {
      index.add(before, key, null);
      return;
    }
    const era = this.#era;
    const data = await this.#store.read({ ...this.#describe(key, kind), shape }, depth);
    if (data === null || this.#holds > 0 || this.#era !== era) return;
    const type = kind === "state" ? DTYPES.float32 : dtype;
    const payload = scope(() => new ArrayPayload(fromBytes(data, type, [...shape])));
    const added = kind === "state" ? index.addState(key, payload) : index.add(before, key, payload);
    if (!added) payload.free();
  }

  #describe(key: string, kind: NewContent["kind"]): Pick<BlockContent, "key" | "kind" | "dtype"> {
    return { key, kind, dtype: kind === "state" ? "F32" : NAMES.get(this.#shapes.dtype)! };
  }
}

/** Between the prefix cache's blocks in memory and those on disk. */

import type { CacheSpec } from "../kv/cache.ts";
import { contentWidths } from "../kv/row-size.ts";
import { fromBytes, readBytes, scope, shapeOf } from "../mlx/array.ts";
import { DTYPES, type Dtype } from "../mlx/dtype.ts";
import type { BlockContent } from "../prefix/block-file.ts";
import type { DiskStore } from "../prefix/disk-store.ts";
import { BLOCK_TOKENS } from "../prefix/keys.ts";
import { ArrayPayload, type NewContent, type PrefixCache, type PrefixSequence } from "./prefix-cache.ts";

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

export class PrefixDisk {
  readonly #store: DiskStore;
  readonly #shapes: ContentShapes;
  #closed = false;

  constructor(store: DiskStore, shapes: ContentShapes) {
    this.#store = store;
    this.#shapes = shapes;
  }

  /** Writes behind what has been kept in memory. */
  save(contents: readonly NewContent[]): void {
    if (!this.#store.writing) return;
    for (const { key, depth, kind, payload } of contents) {
      const data = readBytes(payload.array);
      this.#store.write({ ...this.#describe(key, kind), shape: shapeOf(payload.array), data }, depth);
    }
  }

  /** Reads what is there of these blocks, in order, into memory. `most`: how many of them are of use. */
  async load<T extends PrefixSequence>(cache: PrefixCache<T>, keys: readonly string[], most: number): Promise<void> {
    const { tokens, state } = this.#shapes;
    const start = cache.index.find(keys.slice(0, most)).length;
    let end = start;
    while (tokens && end < most && (await this.#store.has({ key: keys[end]!, kind: "tokens", depth: end }))) end++;
    if (!tokens) end = most;
    if (state) end = await this.#lastState(keys, start, end);
    for (let depth = start; depth < end && !this.#closed; depth++) {
      const key = keys[depth]!;
      const array = tokens && (await this.#read(key, "tokens", depth));
      if (tokens && !array) return;
      if (!this.#add(array, (payload) => cache.index.add(keys[depth - 1] ?? null, key, payload))) return;
    }
    if (!state || end === 0 || end === start || this.#closed) return;
    const key = keys[end - 1]!;
    const array = await this.#read(key, "state", end - 1);
    if (array) this.#add(array, (payload) => cache.index.addState(key, payload!));
  }

  async clear(): Promise<void> {
    await this.#store.clear();
  }

  /** Waits until what is queued has been written. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#store.flush();
  }

  /** How many blocks there are up to the last one with a state on disk. */
  async #lastState(keys: readonly string[], start: number, end: number): Promise<number> {
    for (let blocks = end; blocks > start; blocks--) {
      if (await this.#store.has({ key: keys[blocks - 1]!, kind: "state", depth: blocks - 1 })) return blocks;
    }
    return start;
  }

  #add(array: ArrayPayload | null, add: (payload: ArrayPayload | null) => boolean): boolean {
    const added = !this.#closed && add(array);
    if (!added) array?.free();
    return added;
  }

  async #read(key: string, kind: NewContent["kind"], depth: number): Promise<ArrayPayload | null> {
    const shape = kind === "tokens" ? this.#shapes.tokens! : this.#shapes.state!;
    const data = await this.#store.read({ ...this.#describe(key, kind), shape }, depth);
    if (data === null || this.#closed) return null;
    const dtype = kind === "state" ? DTYPES.float32 : this.#shapes.dtype;
    return scope(() => new ArrayPayload(fromBytes(data, dtype, [...shape])));
  }

  #describe(key: string, kind: NewContent["kind"]): Pick<BlockContent, "key" | "kind" | "dtype"> {
    return { key, kind, dtype: kind === "state" ? "F32" : NAMES.get(this.#shapes.dtype)! };
  }
}

/** The prefix cache of an engine with what stands behind it: blocks in memory, and those on disk. */
import type { CacheSpec } from "../kv/cache.ts";
import type { KvPool } from "../kv/pool.ts";
import { contentSizes } from "../kv/row-size.ts";
import type { RowTable } from "../kv/rows.ts";
import { macrotask } from "../macrotask.ts";
import type { Dtype } from "../mlx/dtype.ts";
import { prepareBlock, readyBlockMemory, reservePlaces, touchedBlockMemory } from "../mlx/memory.ts";
import type { DiskStore } from "../prefix/disk-store.ts";
import { GrowthBudget } from "../prefix/growth.ts";
import { BLOCK_TOKENS, rootKey } from "../prefix/keys.ts";
import type { NewContent } from "./array-payload.ts";
import { PrefixCache } from "./prefix-cache.ts";
import { contentShapes, PrefixDisk } from "./prefix-disk.ts";
import type { GenerationRequest } from "./request.ts";
import type { Sequence } from "./sequence.ts";

export interface PrefixOptions {
  /** Bytes of computed prefixes that are kept for others, as far as live rows leave them; 0: none. */
  prefixCacheBytes?: number;
  /** Where they are kept longer than in memory. */
  prefixStore?: DiskStore | null;
  /** So long a request waits for the disk: what comes later is of use all the same, but a disk that hangs must not hold it up. */
  prefixPatienceMs?: number;
  /** What tells this model's prefixes from another's. */
  modelIdentity?: string;
  /** Limit for all cache tensors together, those of live rows included. */
  kvBudgetBytes: number;
  /** Told of what went wrong without harm to any request. */
  onWarning?: (message: string, error: unknown) => void;
}

export interface CachedModel {
  caches: readonly CacheSpec[];
  dtype: Dtype;
}

const PATIENCE_MS = 5000;

/** Memory that is made ready for blocks to come: for so many tokens, but no more bytes than this. */
const RESERVE_TOKENS = 16_384;
const RESERVE_BYTES = 2 ** 29;
/** So long it waits before that: whoever asks one thing after the other is not to wait for it. */
const PAUSE_MS = 20;

export class Prefixes {
  readonly cache: PrefixCache<Sequence>;
  readonly #disk: PrefixDisk<Sequence> | null;
  readonly #options: PrefixOptions;
  readonly #growthBudget = new GrowthBudget();
  /** Of a block in memory of our own; 0 where MLX has it. */
  #blockBytes: number;

  private constructor(rows: RowTable, pool: KvPool, { caches, dtype }: CachedModel, options: PrefixOptions) {
    const { prefixCacheBytes = 0, prefixStore = null, kvBudgetBytes } = options;
    this.#options = options;
    const sizes = contentSizes(caches, dtype, BLOCK_TOKENS);
    this.#blockBytes = pool.kernels ? sizes.blockBytes : 0;
    this.cache = new PrefixCache(rows, pool, {
      blockTokens: BLOCK_TOKENS,
      sizes,
      limitBytes: prefixCacheBytes,
      budgetBytes: kvBudgetBytes,
      ...(pool.kernels && { growth: () => this.#growth() }),
      ...(prefixStore && { onKept: (contents) => this.#save(contents) }),
    });
    this.#disk = prefixStore && new PrefixDisk(prefixStore, contentShapes(caches, dtype), this.cache);
  }

  /** Null when nothing is to be kept. */
  static open(rows: RowTable, pool: KvPool, model: CachedModel, options: PrefixOptions): Prefixes | null {
    return (options.prefixCacheBytes ?? 0) > 0 ? new Prefixes(rows, pool, model, options) : null;
  }

  /** Memory that is ready, and as much of other as may be touched. */
  #growth(): number {
    return readyBlockMemory() + this.#growthBudget.allowance(performance.now() / 1000, touchedBlockMemory());
  }

  get bytes(): number {
    return this.cache.index.bytes;
  }

  /** For when there is nothing else to do: readies memory for blocks to come, after a pause and until somebody calls. */
  async prepareUntil(called: Promise<void>): Promise<void> {
    let idle = true;
    const ended = called.then(() => {
      idle = false;
    });
    await atMost(ended, PAUSE_MS);
    while (idle && this.#prepare()) await macrotask();
  }

  /** Readies memory for a block to come, or a part of it. False when enough is ready. */
  #prepare(): boolean {
    if (this.#blockBytes === 0) return false;
    const { prefixCacheBytes = 0, kvBudgetBytes } = this.#options;
    const room = Math.min(prefixCacheBytes, kvBudgetBytes) - this.bytes;
    const wanted = (RESERVE_TOKENS / BLOCK_TOKENS) * this.#blockBytes;
    const reserve = Math.max(0, Math.min(room, wanted, RESERVE_BYTES));
    try {
      reservePlaces("blocks", reserve);
      return prepareBlock(this.#blockBytes, reserve);
    } catch (error) {
      reservePlaces("blocks", 0);
      this.#blockBytes = 0;
      this.#options.onWarning?.("no memory is made ready for the prefix cache", error);
      return false;
    }
  }

  /** Drops all blocks, and the memory that was ready for others. */
  drop(): void {
    this.cache.clear();
    reservePlaces("blocks", 0);
  }

  /** Under which the blocks of a request are kept. */
  rootOf({ adapter, cacheSalt }: GenerationRequest): string {
    return rootKey([this.#options.modelIdentity ?? "", adapter ?? "", cacheSalt ?? ""]);
  }

  /** Finds what is known of the sequence's beginning; what is on disk is read before it is let in. */
  lookUp(sequence: Sequence, onReady: () => void): void {
    const { keys, more } = this.cache.enter(sequence);
    if (!more && (!this.#disk || this.#useful(sequence, keys) === 0)) return;
    sequence.ready = false;
    this.#fetch(sequence, more)
      .catch((error) => this.#options.onWarning?.("a block of the prefix cache could not be read", error))
      .finally(() => {
        sequence.ready = true;
        onReady();
      });
  }

  async #fetch(sequence: Sequence, unfinished: boolean): Promise<void> {
    for (let more = unfinished; more && !sequence.finished; ) {
      await macrotask();
      if (!sequence.finished) more = this.cache.enter(sequence).more;
    }
    if (!this.#disk || sequence.finished) return;
    const { keys } = this.cache.enter(sequence);
    const loading = this.#disk.load({ keys, most: this.#useful(sequence, keys), isWanted: () => !sequence.finished });
    await atMost(loading, this.#options.prefixPatienceMs ?? PATIENCE_MS);
  }

  /** How many of its blocks a sequence may take up: its last token is always computed. */
  #useful({ length }: Sequence, keys: readonly string[]): number {
    return Math.min(keys.length, Math.floor((length - 1) / BLOCK_TOKENS));
  }

  async #save(contents: readonly NewContent[]): Promise<void> {
    try {
      await this.#disk?.save(contents);
    } catch (error) {
      this.#options.onWarning?.("a block of the prefix cache could not be written", error);
    }
  }

  /** Forgets everything. Returns the bytes of memory given back. */
  async clear(): Promise<number> {
    const { bytes } = this;
    this.cache.forget();
    await this.#disk?.clear();
    return bytes;
  }

  /** Waits until what is queued for the disk is there. */
  async close(): Promise<void> {
    this.#disk?.stop();
    this.cache.clear();
    await this.cache.settled();
    await this.#disk?.flush();
  }
}

/** Settles with the promise, or when the time is over; what comes of it later is nobody's concern. */
async function atMost(promise: Promise<void>, ms: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  try {
    await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}

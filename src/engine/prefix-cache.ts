/** Reuse of computed prefixes in the batch: what sequences have computed is kept in blocks, and what others need of it is copied. */
import type { KvPool } from "../kv/pool.ts";
import type { RowTable } from "../kv/rows.ts";
import { submit } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import { BLOCK_OVERHEAD, type Block, BlockIndex } from "../prefix/block-index.ts";
import { Boundaries } from "../prefix/boundaries.ts";
import { Claims } from "../prefix/claims.ts";
import { type ArrayPayload, ContentBatch } from "./array-payload.ts";
import type { PrefixCacheOptions } from "./prefix-options.ts";
import { extendKeys, type PrefixSequence, type Tracked, track } from "./prefix-sequence.ts";
import type { PrefixSource } from "./scheduler.ts";

/** A millisecond's work. */
const KEYS_AT_ONCE = 256;

interface Import<T> {
  sequence: T;
  start: number;
  blocks: readonly Block<ArrayPayload>[];
}

export type { PrefixSequence } from "./prefix-sequence.ts";

export class PrefixCache<T extends PrefixSequence> implements PrefixSource<T> {
  readonly index: BlockIndex<ArrayPayload>;
  readonly #options: PrefixCacheOptions;
  readonly #boundaries: Boundaries;
  readonly #rows: RowTable;
  readonly #pool: KvPool;
  readonly #tracked = new Map<T, Tracked>();
  readonly #claims: Claims<T>;
  #imports: Import<T>[] = [];
  /** Copies that are computed or passed on. */
  readonly #reports = new Set<Promise<void>>();
  /** Another one begins when everything is forgotten. */
  #era = 0;
  #promptTokens = 0;
  #cachedTokens = 0;

  constructor(rows: RowTable, pool: KvPool, options: PrefixCacheOptions) {
    this.#rows = rows;
    this.#pool = pool;
    this.#options = options;
    this.#boundaries = new Boundaries(options.blockTokens, options.sizes);
    this.index = new BlockIndex(options.limitBytes);
    this.#claims = new Claims((sequence) => rows.place(sequence.id) !== undefined);
  }

  /** How much is noted of sequences: nothing when none is there. */
  get noted(): number {
    return this.#tracked.size + this.#claims.size + this.#imports.length;
  }

  /** Share of the prompt tokens of those that have left that were taken from here. */
  get hitRate(): number {
    return this.#promptTokens > 0 ? this.#cachedTokens / this.#promptTokens : 0;
  }

  /** To be called again until there are no more keys to make: those of a long prompt take their time. Then it may be let in. */
  enter(sequence: T): { keys: readonly string[]; more: boolean } {
    const tracked = this.#tracked.get(sequence) ?? track();
    this.#tracked.set(sequence, tracked);
    const more = extendKeys(sequence, tracked, this.#options.blockTokens, KEYS_AT_ONCE);
    return { keys: tracked.keys, more };
  }

  /** To be called while the sequence still has its row. */
  leave(sequence: T): void {
    const tracked = this.#tracked.get(sequence);
    if (!tracked) return;
    this.publish([sequence]);
    // Those that went away before their turn say nothing.
    if (tracked.reached > 0) {
      this.#promptTokens += sequence.promptLength;
      this.#cachedTokens += sequence.cachedTokens;
    }
    this.#tracked.delete(sequence);
    tracked.pending?.state.free();
    this.#claims.release(tracked.keys, sequence);
    this.#imports = this.#imports.filter((wanted) => wanted.sequence !== sequence);
  }

  /** Tokens after the computed ones that are in the cache; they are copied into its row before the next step. */
  reuse(sequence: T): number {
    const tracked = this.#tracked.get(sequence);
    const { blockTokens } = this.#options;
    if (!tracked || sequence.computed % blockTokens !== 0) return 0;
    const first = sequence.computed / blockTokens;
    const most = Math.floor((sequence.length - 1) / blockTokens);
    let blocks = this.index.find(tracked.keys.slice(first, most));
    if (this.#boundaries.stateful) blocks = blocks.slice(0, blocks.findLastIndex(({ state }) => state !== null) + 1);
    if (blocks.length === 0) return 0;
    this.#imports.push({ sequence, start: sequence.computed, blocks });
    const end = (first + blocks.length) * blockTokens;
    // They are not kept again when they are gone from the cache: a window's row does not hold them any more.
    tracked.done = Math.max(tracked.done, first + blocks.length);
    // What it had before it was put back to the queue counts only once.
    const gained = end - Math.max(tracked.reached, sequence.computed);
    if (sequence.length === sequence.promptLength && gained > 0) sequence.cachedTokens += gained;
    tracked.reached = Math.max(tracked.reached, end);
    return blocks.length * blockTokens;
  }

  /** Whether another running sequence is about to compute what this one needs next. */
  waits(sequence: T): boolean {
    const tracked = this.#tracked.get(sequence);
    const { blockTokens, sizes } = this.#options;
    if (!tracked || sequence.computed % blockTokens !== 0 || !this.index.takes(sizes.blockBytes)) return false;
    const boundary = this.#boundaries.next(sequence.computed, sequence.promptLength);
    if (boundary === null) return false;
    const key = tracked.keys[boundary / blockTokens - 1]!;
    const owner = this.#claims.owner(key);
    if (owner !== undefined && (owner === sequence || this.#tracked.get(owner)?.givenUp)) return false;
    if (this.#claims.isTaken(key, boundary, sequence)) return true;
    for (let at: number | null = boundary; at !== null; at = this.#boundaries.next(at, sequence.promptLength)) {
      this.#claims.claim(tracked.keys[at / blockTokens - 1]!, at, sequence);
    }
    return false;
  }

  /** Tokens up to the place where a state is to be kept. */
  spanLimit(sequence: T): number {
    if (!this.#boundaries.stateful || !this.#tracked.has(sequence)) return Number.POSITIVE_INFINITY;
    const boundary = this.#boundaries.next(sequence.computed, sequence.promptLength);
    return boundary === null ? Number.POSITIVE_INFINITY : boundary - sequence.computed;
  }

  /** Submits the copies that the plan relies on. To be called before the step. Settles when they are there. */
  restore(): Promise<void> | null {
    const imports = this.#imports;
    this.#imports = [];
    if (imports.length === 0) return null;
    return this.#copy(() =>
      imports.flatMap(({ sequence, start, blocks }) => {
        const { sizeClass, row } = this.#rows.place(sequence.id)!;
        const content = this.#pool.rows(sizeClass);
        const tokens = blocks.flatMap((block) => block.tokens?.array ?? []);
        const state = blocks.at(-1)!.state;
        return [
          ...(tokens.length > 0 ? content.importTokens(row, start, tokens) : []),
          ...(state ? content.importState(row, state.array) : []),
        ];
      }),
    );
  }

  /** Keeps the blocks that submitted steps have completed; rows in use come before them. Settles when they are there. */
  publish(sequences: Iterable<T>): Promise<void> | null {
    const { limitBytes, budgetBytes, growth } = this.#options;
    const due = [...sequences].filter((sequence) => this.#isDue(sequence));
    const most = growth && due.length > 0 ? this.index.bytes + growth() : Number.POSITIVE_INFINITY;
    this.index.limitTo(Math.max(0, Math.min(limitBytes, budgetBytes - this.#rows.bytes, most)));
    if (due.length === 0) return null;
    const contents = new ContentBatch();
    try {
      const done = this.#copy(() => {
        for (const sequence of due) this.#export(sequence, this.#tracked.get(sequence)!, contents);
        return contents.made;
      });
      this.#report(done, contents);
      return done;
    } catch (error) {
      contents.free();
      throw error;
    }
  }

  #report(done: Promise<void>, contents: ContentBatch): void {
    const { onKept } = this.#options;
    const era = this.#era;
    const pass = async () => {
      if (onKept && contents.kept.length > 0 && this.#era === era) await onKept(contents.kept);
    };
    // Blocks that were not computed must not be there. Whether the engine can go on is seen by its own steps.
    const report = done
      .then(pass, () => this.clear())
      .finally(() => {
        contents.free();
        this.#reports.delete(report);
      });
    this.#reports.add(report);
  }

  /** Settles when everything that was kept has been passed on. */
  async settled(): Promise<void> {
    while (this.#reports.size > 0) await Promise.all(this.#reports);
  }

  /** Drops all blocks. */
  clear(): void {
    this.index.clear();
  }

  /** Drops all blocks, and passes nothing on that was computed before. */
  forget(): void {
    this.#era++;
    this.clear();
  }

  /** Whole blocks that are computed and of which the tokens are known. */
  #complete({ computed, length, inFlight }: T): number {
    return Math.floor(Math.min(computed, length - inFlight) / this.#options.blockTokens);
  }

  #isDue(sequence: T): boolean {
    const tracked = this.#tracked.get(sequence);
    if (!tracked || !this.#rows.place(sequence.id)) return false;
    tracked.reached = Math.max(tracked.reached, sequence.computed);
    const complete = this.#complete(sequence);
    if (tracked.done < complete || (tracked.pending && tracked.pending.blocks <= complete)) return true;
    return this.#wantsState(sequence, tracked);
  }

  /** Whether the sequence stands where a state is to be kept. */
  #wantsState({ computed, promptLength }: T, { keys, pending }: Tracked): boolean {
    const { blockTokens } = this.#options;
    if (!this.#boundaries.stateful || computed === 0 || computed % blockTokens !== 0) return false;
    const blocks = computed / blockTokens;
    if (pending?.blocks === blocks || this.index.get(keys[blocks - 1] ?? "")?.state) return false;
    if (computed >= promptLength) return this.#boundaries.isDecodeState(computed);
    return this.#boundaries.next(computed - 1, promptLength) === computed;
  }

  #export(sequence: T, tracked: Tracked, contents: ContentBatch): void {
    const { blockTokens } = this.#options;
    const { sizeClass, row } = this.#rows.place(sequence.id)!;
    const content = this.#pool.rows(sizeClass);
    extendKeys(sequence, tracked, blockTokens);
    const complete = this.#complete(sequence);
    for (; tracked.done < complete; tracked.done++) {
      const exported = () => contents.make(content.exportTokens(row, tracked.done * blockTokens, blockTokens));
      tracked.givenUp = !this.#keepBlock(tracked, exported, contents);
      if (tracked.givenUp) tracked.done = complete - 1;
    }
    if (this.#wantsState(sequence, tracked)) {
      tracked.pending?.state.free();
      tracked.pending = { blocks: sequence.computed / blockTokens, state: contents.make(content.exportState(row)) };
    }
    if (tracked.pending && tracked.pending.blocks <= complete) this.#addState(sequence, tracked, tracked.pending, contents);
  }

  /** False when there is no place for the block, and so for none after it. */
  #keepBlock({ keys, done }: Tracked, exported: () => ArrayPayload, contents: ContentBatch): boolean {
    const { blockBytes } = this.#options.sizes;
    const key = keys[done]!;
    const parent = done === 0 ? null : keys[done - 1]!;
    if (this.index.get(key)) return true;
    if (parent !== null && !this.index.get(parent)) return false;
    if (!this.index.makeRoom(BLOCK_OVERHEAD + blockBytes, parent)) return false;
    if (blockBytes === 0) return this.index.add(parent, key, null);
    const payload = exported();
    if (!this.index.add(parent, key, payload)) {
      payload.free();
      return false;
    }
    contents.keep({ key, depth: done, kind: "tokens", payload });
    return true;
  }

  #addState(
    { promptLength }: T,
    tracked: Tracked,
    { blocks, state }: NonNullable<Tracked["pending"]>,
    contents: ContentBatch,
  ): void {
    tracked.pending = null;
    const key = tracked.keys[blocks - 1]!;
    if (!this.index.addState(key, state)) {
      state.free();
      return;
    }
    contents.keep({ key, depth: blocks - 1, kind: "state", payload: state });
    if (blocks * this.#options.blockTokens < promptLength) return;
    if (tracked.lastState) this.index.dropState(tracked.lastState);
    tracked.lastState = key;
  }

  /** Submits what `build` returns as a step of its own: the one stream runs it after what was submitted before. */
  #copy(build: () => readonly MxArray[]): Promise<void> {
    return submit(() => {
      this.#pool.apply(this.#rows.takeActions());
      const arrays = build();
      const changed = this.#pool.changed();
      this.#pool.settle();
      const outputs = [...arrays, ...changed];
      return { outputs, awaited: Math.min(1, outputs.length), result: null };
    }).done;
  }
}

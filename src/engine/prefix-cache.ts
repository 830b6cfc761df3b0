/** Reuse of computed prefixes in the batch: what sequences have computed is kept in blocks, and what others need of it is copied. */
import type { KvPool } from "../kv/pool.ts";
import type { RowTable } from "../kv/rows.ts";
import { byteLengthOf, keep, release, submit } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import { type Block, BlockIndex, type Payload } from "../prefix/block-index.ts";
import { Boundaries, type CacheSizes } from "../prefix/boundaries.ts";
import { blockKey } from "../prefix/keys.ts";
import type { PrefixSource, Schedulable } from "./scheduler.ts";

/** What the cache sees of a sequence. */
export interface PrefixSequence extends Schedulable {
  readonly promptLength: number;
  /** Under which its blocks are kept: equal for those that may share. */
  readonly prefixRoot: string;
  /** Tokens that were taken from the cache when it was first let in. */
  cachedTokens: number;
  /** Token id at a position; null while it is in flight. */
  token(position: number): number | null;
}

/** An array that lives as long as its block, and as somebody has retained it. */
export class ArrayPayload implements Payload {
  readonly bytes: number;
  readonly array: MxArray;
  #holders = 1;

  /** Takes the array out of the scope at hand. */
  constructor(array: MxArray) {
    this.array = keep(array);
    this.bytes = byteLengthOf(array);
  }

  retain(): void {
    this.#holders++;
  }

  free(): void {
    if (--this.#holders === 0) release(this.array);
  }
}

/** What has just been kept, for whoever keeps it longer than the memory does. */
export interface NewContent {
  /** Of the block, and how many come before it. */
  key: string;
  depth: number;
  kind: "tokens" | "state";
  payload: ArrayPayload;
}

interface Tracked {
  /** Of its blocks as far as their tokens are known. */
  keys: string[];
  /** Blocks that are in the cache or have been given up. */
  done: number;
  /** A state whose block's tokens are not known yet. */
  pending: { blocks: number; state: ArrayPayload } | null;
  /** Block whose state was kept last while decoding: the next one takes its place. */
  lastState: string | null;
}

export interface PrefixCacheOptions {
  blockTokens: number;
  sizes: CacheSizes;
  /** The most bytes; less when live rows need the memory. */
  limitBytes: number;
  /** Bytes that rows and blocks may have together. */
  budgetBytes: number;
  /** Called when the copies have been computed. */
  onKept?: (contents: readonly NewContent[]) => void;
}

interface Import<T> {
  sequence: T;
  start: number;
  blocks: readonly Block<ArrayPayload>[];
}

export class PrefixCache<T extends PrefixSequence> implements PrefixSource<T> {
  readonly index: BlockIndex<ArrayPayload>;
  readonly #options: PrefixCacheOptions;
  readonly #boundaries: Boundaries;
  readonly #rows: RowTable;
  readonly #pool: KvPool;
  readonly #tracked = new Map<T, Tracked>();
  /** Who computes a block that is not there yet. */
  readonly #claims = new Map<string, T>();
  #imports: Import<T>[] = [];

  constructor(rows: RowTable, pool: KvPool, options: PrefixCacheOptions) {
    this.#rows = rows;
    this.#pool = pool;
    this.#options = options;
    this.#boundaries = new Boundaries(options.blockTokens, options.sizes);
    this.index = new BlockIndex(options.limitBytes);
  }

  /** Keys of the sequence's whole blocks as far as its tokens are known. */
  enter(sequence: T): readonly string[] {
    const tracked: Tracked = { keys: [], done: 0, pending: null, lastState: null };
    this.#tracked.set(sequence, tracked);
    this.#extendKeys(sequence, tracked);
    return tracked.keys;
  }

  /** To be called while the sequence still has its row. */
  leave(sequence: T): void {
    const tracked = this.#tracked.get(sequence);
    if (!tracked) return;
    this.publish([sequence]);
    this.#tracked.delete(sequence);
    tracked.pending?.state.free();
    for (const key of tracked.keys) if (this.#claims.get(key) === sequence) this.#claims.delete(key);
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
    const tokens = blocks.length * blockTokens;
    if (sequence.length === sequence.promptLength) sequence.cachedTokens += tokens;
    return tokens;
  }

  /** Whether another running sequence is about to compute what this one needs next. */
  waits(sequence: T): boolean {
    const tracked = this.#tracked.get(sequence);
    const { blockTokens } = this.#options;
    const boundary = this.#boundaries.next(sequence.computed, sequence.promptLength);
    if (!tracked || sequence.computed % blockTokens !== 0 || boundary === null) return false;
    const owner = this.#claims.get(tracked.keys[boundary / blockTokens - 1]!);
    if (owner !== undefined && owner !== sequence && owner.computed < boundary && this.#rows.place(owner.id)) return true;
    this.#claim(sequence, tracked);
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
    const { limitBytes, budgetBytes } = this.#options;
    this.index.limitTo(Math.max(0, Math.min(limitBytes, budgetBytes - this.#rows.bytes)));
    const due = [...sequences].filter((sequence) => this.#isDue(sequence));
    if (due.length === 0) return null;
    const kept: NewContent[] = [];
    const done = this.#copy(() => due.flatMap((sequence) => this.#export(sequence, this.#tracked.get(sequence)!, kept)));
    this.#report(done, kept);
    return done;
  }

  #report(done: Promise<void>, kept: readonly NewContent[]): void {
    const { onKept } = this.#options;
    if (!onKept || kept.length === 0) return;
    // The index may drop them before they are computed.
    for (const { payload } of kept) payload.retain();
    const free = () => {
      for (const { payload } of kept) payload.free();
    };
    // A copy that failed has failed the engine as well, which says so.
    done.then(() => onKept(kept)).then(free, free);
  }

  clear(): void {
    this.index.clear();
  }

  #claim(sequence: T, { keys }: Tracked): void {
    const { blockTokens } = this.#options;
    let at: number | null = sequence.computed;
    for (;;) {
      at = this.#boundaries.next(at, sequence.promptLength);
      if (at === null) return;
      const key = keys[at / blockTokens - 1]!;
      const owner = this.#claims.get(key);
      if (owner === undefined || !this.#rows.place(owner.id) || owner.computed >= at) this.#claims.set(key, sequence);
    }
  }

  #extendKeys(sequence: T, { keys }: Tracked): void {
    const { blockTokens } = this.#options;
    const known = Math.floor((sequence.length - sequence.inFlight) / blockTokens);
    while (keys.length < known) {
      const first = keys.length * blockTokens;
      const tokens = Int32Array.from({ length: blockTokens }, (_, i) => sequence.token(first + i)!);
      keys.push(blockKey(keys.at(-1) ?? sequence.prefixRoot, tokens));
    }
  }

  /** Whole blocks that are computed and of which the tokens are known. */
  #complete({ computed, length, inFlight }: T): number {
    return Math.floor(Math.min(computed, length - inFlight) / this.#options.blockTokens);
  }

  #isDue(sequence: T): boolean {
    const tracked = this.#tracked.get(sequence);
    if (!tracked || !this.#rows.place(sequence.id)) return false;
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

  /** Returns what has to be computed. */
  #export(sequence: T, tracked: Tracked, kept: NewContent[]): MxArray[] {
    const { blockTokens, sizes } = this.#options;
    const { sizeClass, row } = this.#rows.place(sequence.id)!;
    const content = this.#pool.rows(sizeClass);
    const arrays: MxArray[] = [];
    this.#extendKeys(sequence, tracked);
    const complete = this.#complete(sequence);
    for (; tracked.done < complete; tracked.done++) {
      const key = tracked.keys[tracked.done]!;
      const parent = tracked.done === 0 ? null : tracked.keys[tracked.done - 1]!;
      if (this.index.get(key)) continue;
      const reachable = parent === null || this.index.get(parent) !== undefined;
      if (!reachable || !this.index.makeRoom(sizes.blockBytes, parent)) {
        tracked.done = complete;
        break;
      }
      if (sizes.blockBytes === 0) {
        this.index.add(parent, key, null);
        continue;
      }
      const payload = new ArrayPayload(content.exportTokens(row, tracked.done * blockTokens, blockTokens));
      this.index.add(parent, key, payload);
      arrays.push(payload.array);
      kept.push({ key, depth: tracked.done, kind: "tokens", payload });
    }
    if (this.#wantsState(sequence, tracked)) {
      tracked.pending?.state.free();
      tracked.pending = { blocks: sequence.computed / blockTokens, state: new ArrayPayload(content.exportState(row)) };
      arrays.push(tracked.pending.state.array);
    }
    if (tracked.pending && tracked.pending.blocks <= complete) this.#addState(sequence, tracked, tracked.pending, kept);
    return arrays;
  }

  #addState({ promptLength }: T, tracked: Tracked, { blocks, state }: NonNullable<Tracked["pending"]>, kept: NewContent[]): void {
    tracked.pending = null;
    const key = tracked.keys[blocks - 1]!;
    if (!this.index.addState(key, state)) {
      state.free();
      return;
    }
    kept.push({ key, depth: blocks - 1, kind: "state", payload: state });
    if (blocks * this.#options.blockTokens < promptLength) return;
    if (tracked.lastState) this.index.dropState(tracked.lastState);
    tracked.lastState = key;
  }

  /** Submits what `build` returns as a step of its own: the one stream runs it after what was submitted before. */
  #copy(build: () => MxArray[]): Promise<void> {
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

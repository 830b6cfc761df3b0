/** Where along a sequence its caches can be taken up again. Pure. */

export interface CacheSizes {
  /** Of a block's keys and values; 0 in a model that has only states. */
  blockBytes: number;
  /** Of the recurrent states of a sequence; 0 in a model that has none. */
  stateBytes: number;
}

/** A state costs as much as many blocks: between two of them lie so many tokens that they take about as much memory as the blocks. */
const LEAST_STATE_BLOCKS = 4;
const MOST_STATE_BLOCKS = 64;
const BLOCKS_WITHOUT_KEYS = 16;

export class Boundaries {
  readonly blockTokens: number;
  readonly stateful: boolean;
  /** Tokens between two states. */
  readonly #every: number;

  constructor(blockTokens: number, { blockBytes, stateBytes }: CacheSizes) {
    this.blockTokens = blockTokens;
    this.stateful = stateBytes > 0;
    const blocks = blockBytes === 0 ? BLOCKS_WITHOUT_KEYS : Math.ceil(stateBytes / blockBytes);
    this.#every = blockTokens * (this.stateful ? Math.min(Math.max(blocks, LEAST_STATE_BLOCKS), MOST_STATE_BLOCKS) : 1);
  }

  /**
   * First place after `computed` where a prompt of so many tokens, of which at least one must be computed, can be taken up; null
   * when there is none. Without states any end of a block; with them every so often, and the prompt's last one.
   */
  next(computed: number, promptLength: number): number | null {
    const last = Math.floor((promptLength - 1) / this.blockTokens) * this.blockTokens;
    if (computed >= last) return null;
    return Math.min(computed - (computed % this.#every) + this.#every, last);
  }

  /** Whether a state is kept of a sequence that decodes and has come so far. */
  isDecodeState(computed: number): boolean {
    return this.stateful && computed % (this.blockTokens * LEAST_STATE_BLOCKS) === 0;
  }
}

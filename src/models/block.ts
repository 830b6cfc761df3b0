/** One layer of a decoder: attention, then a feed-forward part, each added to what it got. */
import { type Batch, narrowToOutputs } from "../kv/cache.ts";
import { addTo, times } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { AdapterChoice } from "../nn/linear.ts";
import type { Block, Norm } from "./decoder.ts";

/** A part of a block: x [T, hidden] to [T, hidden]. */
export interface Layer {
  forward(x: MxArray, batch: Batch): MxArray;
  /** x [T, hidden] to [outputs, hidden], without what only the other tokens would need; `asked` [outputs, hidden] and `narrow` are theirs. */
  forwardOutputs?(x: MxArray, batch: Batch, asked: MxArray, narrow: Batch): MxArray;
}

/** A part that sees each token by itself. */
export interface TokenLayer {
  forward(x: MxArray, batch: AdapterChoice): MxArray;
}

/** What a part's input and output are normalised by; null: nothing. */
export interface Norms {
  before: Norm | null;
  after: Norm | null;
}

export interface BlockParts {
  attention: Layer;
  attentionNorms: Norms;
  feedForward: TokenLayer;
  feedForwardNorms: Norms;
  /** The feed-forward part gets what attention gets, not what comes of it. */
  parallel?: boolean;
  /** Factor of what is added. */
  residualScale?: number;
  /** x + change; the plain sum by default. */
  addResidual?: (x: MxArray, change: MxArray) => MxArray;
}

export class TransformerBlock implements Block {
  readonly #parts: BlockParts;

  constructor(parts: BlockParts) {
    this.#parts = parts;
  }

  forward(x: MxArray, batch: Batch): MxArray {
    const { attention, attentionNorms } = this.#parts;
    const seen = normalise(attentionNorms.before, x);
    return this.#feed(x, seen, attention.forward(seen, batch), batch);
  }

  forwardOutputs(x: MxArray, batch: Batch): MxArray {
    const { attention, attentionNorms } = this.#parts;
    const { outputs } = batch;
    if (outputs === null) return this.forward(x, batch);
    const seen = normalise(attentionNorms.before, x);
    const take = (array: MxArray) => mx.take(array, outputs, 0);
    const [asked, narrow] = [take(seen), narrowToOutputs(batch)];
    const attended = attention.forwardOutputs?.(seen, batch, asked, narrow) ?? take(attention.forward(seen, batch));
    return this.#feed(take(x), asked, attended, narrow);
  }

  /** What comes after attention; all of the same tokens. */
  #feed(x: MxArray, seen: MxArray, attended: MxArray, batch: AdapterChoice): MxArray {
    const { attentionNorms, feedForward, feedForwardNorms, parallel } = this.#parts;
    const h = this.#add(x, normalise(attentionNorms.after, attended));
    const fed = parallel && feedForwardNorms.before === null ? seen : normalise(feedForwardNorms.before, parallel ? x : h);
    return this.#add(h, normalise(feedForwardNorms.after, feedForward.forward(fed, batch)));
  }

  #add(x: MxArray, change: MxArray): MxArray {
    const { residualScale, addResidual = addTo } = this.#parts;
    return addResidual(x, residualScale === undefined ? change : times(change, residualScale));
  }
}

function normalise(norm: Norm | null, x: MxArray): MxArray {
  return norm === null ? x : norm.forward(x);
}

/** Where an attention layer's queries, keys and values come from. */
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { cutColumns } from "../nn/columns.ts";
import type { AdapterChoice, Linear } from "../nn/linear.ts";
import { forwardAll } from "../nn/together.ts";
import type { Weights } from "./weights.ts";

export interface HeadShape {
  hiddenSize: number;
  heads: number;
  kvHeads: number;
  headDim: number;
}

/** q [T, heads * headDim], k and v [T, kvHeads * headDim] */
export type Qkv = [q: MxArray, k: MxArray, v: MxArray];

export interface Projections {
  forward(x: MxArray, batch: AdapterChoice): Qkv;
  /** The queries of `asked` only, some rows of x, all keys and values. */
  forwardOutputs(x: MxArray, batch: Outputs, asked: MxArray, narrow: AdapterChoice): Qkv;
}

/** Which rows of x are asked for, int32; null: all. */
type Outputs = AdapterChoice & { readonly outputs: MxArray | null };

export type QkvNames = readonly [q: string, k: string, v: string];

export class SeparateProjections implements Projections {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;

  constructor(shape: HeadShape, names: QkvNames, bias: boolean, weights: Weights, prefix: string) {
    const { hiddenSize, heads, kvHeads, headDim } = shape;
    const [q, k, v] = names;
    this.q_proj = weights.linear(`${prefix}.${q}`, hiddenSize, heads * headDim, bias);
    this.k_proj = weights.linear(`${prefix}.${k}`, hiddenSize, kvHeads * headDim, bias);
    this.v_proj = weights.linear(`${prefix}.${v}`, hiddenSize, kvHeads * headDim, bias);
  }

  forward(x: MxArray, batch: AdapterChoice): Qkv {
    return forwardAll([this.q_proj, this.k_proj, this.v_proj], x, batch) as Qkv;
  }

  forwardOutputs(x: MxArray, batch: AdapterChoice, asked: MxArray, narrow: AdapterChoice): Qkv {
    const q = this.q_proj.forward(asked, narrow);
    return [q, ...forwardAll([this.k_proj, this.v_proj], x, batch)] as Qkv;
  }
}

/** One matrix for all three. `cut` takes them out of its columns, [T, (heads + 2 kvHeads) * headDim]. */
export interface FusedQkv {
  name: string;
  cut?: (qkv: MxArray, shape: HeadShape) => Qkv;
}

/** All queries, then all keys, then all values. */
function cutInOrder(qkv: MxArray, { heads, kvHeads, headDim }: HeadShape): Qkv {
  return cutColumns(qkv, [heads * headDim, kvHeads * headDim, kvHeads * headDim]) as Qkv;
}

export class FusedProjection implements Projections {
  readonly #linear: Linear;
  readonly #shape: HeadShape;
  readonly #cut: NonNullable<FusedQkv["cut"]>;

  constructor(shape: HeadShape, { name, cut = cutInOrder }: FusedQkv, bias: boolean, weights: Weights, prefix: string) {
    const { hiddenSize, heads, kvHeads, headDim } = shape;
    this.#linear = weights.linear(`${prefix}.${name}`, hiddenSize, (heads + 2 * kvHeads) * headDim, bias);
    this.#shape = shape;
    this.#cut = cut;
  }

  forward(x: MxArray, batch: AdapterChoice): Qkv {
    return this.#cut(this.#linear.forward(x, batch), this.#shape);
  }

  forwardOutputs(x: MxArray, batch: Outputs): Qkv {
    const [q, k, v] = this.forward(x, batch);
    return [batch.outputs === null ? q : mx.take(q, batch.outputs, 0), k, v];
  }
}

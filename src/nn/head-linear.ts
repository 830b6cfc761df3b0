import { dimension } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { ExpertLinear } from "./experts.ts";

/** A matrix of its own for each head: the stacked layers of experts, all of which get every token. */
export class HeadLinear {
  readonly #heads: ExpertLinear;

  constructor(heads: ExpertLinear) {
    this.#heads = heads;
  }

  /** x [T, heads, in] to [T, heads, out] */
  forward(x: MxArray): MxArray {
    const [tokens, heads, inDim] = [dimension(x, 0), dimension(x, 1), dimension(x, 2)];
    const rows = mx.reshape(mx.transpose(x, [1, 0, 2]), [heads * tokens, inDim]);
    return mx.transpose(mx.reshape(this.#heads.forward(rows, "even"), [heads, tokens, -1]), [1, 0, 2]);
  }
}

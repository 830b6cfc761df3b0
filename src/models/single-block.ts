/** A layer that does one thing: x plus what its mixer makes of the normalised x. */
import type { Batch } from "../kv/cache.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Layer } from "./block.ts";
import type { Block, Norm } from "./decoder.ts";

export class SingleBlock implements Block {
  readonly norm: Norm;
  readonly mixer: Layer;

  constructor(norm: Norm, mixer: Layer) {
    this.norm = norm;
    this.mixer = mixer;
  }

  forward(x: MxArray, batch: Batch): MxArray {
    return mx.add(x, this.mixer.forward(this.norm.forward(x), batch));
  }
}

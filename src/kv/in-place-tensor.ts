import { keep, release } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";

/** A long-lived tensor that is only ever changed in place. The one handle to it is here. */
export class InPlaceTensor {
  #array: MxArray;
  /** Copies read from the current content and not yet submitted: the next change must come after them. */
  #readers: MxArray[] = [];

  constructor(array: MxArray) {
    this.#array = keep(array);
  }

  /** The current content. Views of it must not be kept beyond the step. */
  get array(): MxArray {
    return this.#array;
  }

  /** A copy of [start, stop). */
  copyOut(start: readonly number[], stop: readonly number[]): MxArray {
    const copy = mx.clone(mx.slice(this.#array, start, stop));
    this.#readers.push(copy);
    return copy;
  }

  /** A copy of the rows, [n, ...]. */
  gather(rows: MxArray): MxArray {
    const copy = mx.take(this.#array, rows, 0);
    this.#readers.push(copy);
    return copy;
  }

  /** `change` gets the tensor as the only holder of its buffer and returns the updated one. */
  update(change: (owned: MxArray) => MxArray): void {
    const next = keep(change(mx.renew(this.#array, this.#readers)));
    release(this.#array);
    this.#array = next;
    this.#readers = [];
  }

  /** What uses the tensor from now on comes after `done`, which reads or writes it. */
  follow(done: MxArray): void {
    this.#readers.push(done);
    this.update((owned) => owned);
  }

  /** To be called when what was built has been submitted. */
  settle(): void {
    this.#readers = [];
  }

  free(): void {
    release(this.#array);
  }
}

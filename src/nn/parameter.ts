import type { MxArray } from "../mlx/ffi.ts";

/** A weight of a model: declared with its name and shape first, filled when the checkpoint is loaded. */
export class Parameter {
  readonly name: string;
  #array: MxArray | null = null;

  constructor(name: string) {
    this.name = name;
  }

  /** Throws before the model is loaded. */
  get array(): MxArray {
    if (this.#array === null) throw new Error(`${this.name} is not loaded`);
    return this.#array;
  }

  get loaded(): boolean {
    return this.#array !== null;
  }

  fill(array: MxArray | null): void {
    this.#array = array;
  }
}

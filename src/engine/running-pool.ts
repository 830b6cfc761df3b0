import type { Pooling } from "../models/embedding-modules.ts";

/** The pooling of one text whose hidden states come one after the other. */
export class RunningPool {
  readonly #poolings: readonly Pooling[];
  #count = 0;
  #first = new Float32Array(0);
  #last = new Float32Array(0);
  #sum = new Float64Array(0);
  #weighted = new Float64Array(0);
  #max = new Float32Array(0);

  constructor(poolings: readonly Pooling[]) {
    this.#poolings = poolings;
  }

  /** The next token's hidden state. */
  add(state: Float32Array): void {
    if (this.#count++ === 0) {
      this.#first = state.slice();
      this.#max = state.slice();
      this.#sum = new Float64Array(state.length);
      this.#weighted = new Float64Array(state.length);
    }
    this.#last = state.slice();
    for (let i = 0; i < state.length; i++) {
      const value = state[i]!;
      this.#sum[i]! += value;
      this.#weighted[i]! += value * this.#count;
      if (value > this.#max[i]!) this.#max[i] = value;
    }
  }

  /** All poolings one after the other. */
  finish(): Float32Array {
    const parts = this.#poolings.map((pooling) => this.#pool(pooling));
    const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  #pool(pooling: Pooling): ArrayLike<number> & { length: number } {
    const count = this.#count;
    switch (pooling) {
      case "cls":
        return this.#first;
      case "last":
        return this.#last;
      case "max":
        return this.#max;
      case "mean":
        return this.#sum.map((value) => value / count);
      case "mean-sqrt-length":
        return this.#sum.map((value) => value / Math.sqrt(count));
      case "weighted-mean":
        return this.#weighted.map((value) => value / ((count * (count + 1)) / 2));
    }
  }
}

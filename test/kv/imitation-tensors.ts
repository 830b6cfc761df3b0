/** Carries out row actions on plain arrays, and says what is wrong with them: what `KvPool` does with tensors. */
import type { RowAction } from "../../src/kv/rows.ts";

const EMPTY = -1;

export class ImitationTensors {
  readonly #capacities: readonly number[];
  readonly #classes: Int32Array[][];
  copies = 0;
  resizes = 0;

  constructor(capacities: readonly number[]) {
    this.#capacities = capacities;
    this.#classes = capacities.map(() => []);
  }

  apply(actions: readonly RowAction[]): void {
    for (const action of actions) {
      if (action.type === "resize") this.#resize(action.sizeClass, action.rows, action.length);
      else this.#copy(action);
    }
  }

  /** Positions allocated in all classes. */
  get positions(): number {
    return this.#classes.reduce((sum, rows, i) => sum + rows.length * this.#capacities[i]!, 0);
  }

  write(sizeClass: number, row: number, position: number, value: number): void {
    const content = this.#row(sizeClass, row);
    if (position < 0 || position >= content.length) throw new Error(`position ${position} is not in class ${sizeClass}`);
    content[position] = value;
  }

  /** Throws unless the first `length` positions are `first`, `first + 1`, ... */
  check(sizeClass: number, row: number, length: number, first: number): void {
    const content = this.#row(sizeClass, row);
    for (let i = 0; i < length; i++) {
      if (content[i] !== first + i)
        throw new Error(`row ${row} of class ${sizeClass} has ${content[i]} at ${i} instead of ${first + i}`);
    }
  }

  #resize(sizeClass: number, count: number, length: number): void {
    if (!Number.isInteger(count) || count < 0) throw new Error(`class ${sizeClass} resized to ${count} rows`);
    const old = this.#classes[sizeClass]!;
    const capacity = this.#capacities[sizeClass]!;
    this.#classes[sizeClass] = Array.from({ length: count }, (_, i) => {
      const row = new Int32Array(capacity).fill(EMPTY);
      row.set(old[i]?.subarray(0, length) ?? []);
      return row;
    });
    this.resizes++;
  }

  #copy({ fromClass, fromRow, toClass, toRow, length }: Extract<RowAction, { type: "copy" }>): void {
    const from = this.#row(fromClass, fromRow);
    const to = this.#row(toClass, toRow);
    if (length <= 0 || length > from.length || length > to.length) throw new Error(`copy of ${length} positions`);
    // What a copy leaves alone is not content: a reader of it must fail.
    to.fill(EMPTY).set(from.subarray(0, length));
    this.copies++;
  }

  #row(sizeClass: number, row: number): Int32Array {
    const content = this.#classes[sizeClass]?.[row];
    if (!content) throw new Error(`there is no row ${row} in class ${sizeClass}`);
    return content;
  }
}

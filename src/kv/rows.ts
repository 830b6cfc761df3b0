/** Which sequence holds which cache row, by size class. Pure bookkeeping: the tensors follow by the actions it returns. */

/** What the tensors have to do, in this order. */
export type RowAction =
  /** Give a class room for `rows` rows; the first ones keep their first `length` positions. 0 rows drop its tensors. */
  | { type: "resize"; sizeClass: number; rows: number; length: number }
  /** Copy the first `length` positions of a row; classes may be equal. */
  | { type: "copy"; fromClass: number; fromRow: number; toClass: number; toRow: number; length: number };

export interface Place {
  sizeClass: number;
  row: number;
}

interface Held extends Place {
  id: number;
  /** Positions that hold content. */
  length: number;
}

export interface RowTableOptions {
  /** Ascending capacities in tokens. */
  capacities: readonly number[];
  /** Of a row for sequences of up to so many tokens. */
  rowBytes: (capacity: number) => number;
  /** Limit for all tensors together. */
  budgetBytes: number;
}

/** Doubling capacities up to the context length, the last one rounded up to a multiple of 64. */
export function sizeClasses(contextLength: number, smallest = 256): number[] {
  const last = Math.ceil(contextLength / 64) * 64;
  const list: number[] = [];
  for (let capacity = smallest; capacity < last; capacity *= 2) list.push(capacity);
  list.push(last);
  return list;
}

export class RowTable {
  readonly capacities: readonly number[];
  readonly #bytes: readonly number[];
  readonly #budget: number;
  readonly #rows: Held[][];
  readonly #allocated: number[];
  readonly #places = new Map<number, Held>();
  #actions: RowAction[] = [];

  constructor({ capacities, rowBytes, budgetBytes }: RowTableOptions) {
    this.capacities = capacities;
    this.#bytes = capacities.map(rowBytes);
    this.#budget = budgetBytes;
    this.#rows = capacities.map(() => []);
    this.#allocated = capacities.map(() => 0);
  }

  /** Bytes of all tensors once the actions are carried out. */
  get bytes(): number {
    return this.#allocated.reduce((sum, rows, i) => sum + rows * this.#rowBytes(i), 0);
  }

  /** Share of the budget that rows in use take when one more of this length is among them. */
  shareWith(length: number): number {
    const sizeClass = this.#classFor(length);
    if (sizeClass === null) return Number.POSITIVE_INFINITY;
    return (this.#usedBytes + this.#rowBytes(sizeClass)) / this.#budget;
  }

  /** Rows of a class that the budget has memory for. */
  mostRows(sizeClass: number): number {
    return Math.floor(this.#budget / this.#rowBytes(sizeClass));
  }

  place(id: number): Place | undefined {
    return this.#places.get(id);
  }

  /** Sequence ids in row order. */
  rowsOf(sizeClass: number): number[] {
    return this.#rows[sizeClass]!.map((held) => held.id);
  }

  /** Whether a sequence of this length could be held when it were alone. */
  fitsAlone(length: number): boolean {
    const sizeClass = this.#classFor(length);
    return sizeClass !== null && this.#rowBytes(sizeClass) <= this.#budget;
  }

  /**
   * Makes sure that the sequence has a row of at least `length` positions, of which `used` hold content; moves it up if
   * not. False when the memory does not suffice: nothing has changed then.
   */
  ensure(id: number, length: number, used: number): boolean {
    const held = this.#places.get(id);
    if (held && length <= this.capacities[held.sizeClass]!) {
      held.length = Math.max(held.length, used);
      return true;
    }
    const sizeClass = this.#classFor(length);
    if (sizeClass === null || !this.#makeRoom(sizeClass)) return false;
    const next: Held = { id, sizeClass, row: this.#rows[sizeClass]!.length, length: used };
    this.#rows[sizeClass]!.push(next);
    if (held) {
      if (used > 0) this.#copy(held, next, used);
      this.#vacate(held);
    }
    this.#places.set(id, next);
    return true;
  }

  /** Positions of the sequence's row; 0 without one. */
  capacityOf(id: number): number {
    const held = this.#places.get(id);
    return held ? this.capacities[held.sizeClass]! : 0;
  }

  /** Notes that positions up to `length` hold content. */
  advance(id: number, length: number): void {
    const held = this.#places.get(id);
    if (held) held.length = length;
  }

  remove(id: number): void {
    const held = this.#places.get(id);
    if (!held) return;
    this.#places.delete(id);
    this.#vacate(held);
  }

  /** The actions since the last call, in order. */
  takeActions(): RowAction[] {
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }

  #classFor(length: number): number | null {
    const index = this.capacities.findIndex((capacity) => capacity >= length);
    return index < 0 ? null : index;
  }

  #rowBytes(sizeClass: number): number {
    return this.#bytes[sizeClass]!;
  }

  /** Of the rows that sequences hold. */
  get #usedBytes(): number {
    return this.#rows.reduce((sum, rows, i) => sum + rows.length * this.#rowBytes(i), 0);
  }

  /** Room for one more row: twice as many where memory is ample, just one more where it is not. */
  #makeRoom(sizeClass: number): boolean {
    const used = this.#rows[sizeClass]!.length;
    const allocated = this.#allocated[sizeClass]!;
    if (used < allocated) return true;
    const free = this.#budget - this.bytes;
    const wanted = Math.max(2, used * 2);
    const extra = (wanted - allocated) * this.#rowBytes(sizeClass) <= free / 2 ? wanted - allocated : 1;
    if (extra * this.#rowBytes(sizeClass) > free && !this.#trim(extra * this.#rowBytes(sizeClass))) return false;
    this.#resize(sizeClass, allocated + extra);
    return true;
  }

  /** Gives back unused rows of all classes until `bytes` are free; false (and nothing done) when they cannot be. */
  #trim(bytes: number): boolean {
    if (this.#budget - this.#usedBytes < bytes) return false;
    for (let i = 0; i < this.capacities.length; i++) {
      if (this.#allocated[i]! > this.#rows[i]!.length) this.#resize(i, this.#rows[i]!.length);
    }
    return true;
  }

  #resize(sizeClass: number, rows: number): void {
    this.#allocated[sizeClass] = rows;
    const last = this.#actions.at(-1);
    // Of a crowd that is let in together only the last enlargement is carried out.
    if (last?.type === "resize" && last.sizeClass === sizeClass && last.rows > 0 && rows > last.rows) last.rows = rows;
    else {
      const length = this.#rows[sizeClass]!.reduce((most, held) => Math.max(most, held.length), 0);
      this.#actions.push({ type: "resize", sizeClass, rows, length });
    }
  }

  #copy(from: Place, to: Place, length: number): void {
    this.#actions.push({
      type: "copy",
      fromClass: from.sizeClass,
      fromRow: from.row,
      toClass: to.sizeClass,
      toRow: to.row,
      length,
    });
  }

  /** The last row of the class fills the hole, so that rows in use stay together. */
  #vacate(hole: Held): void {
    const rows = this.#rows[hole.sizeClass]!;
    const last = rows.pop()!;
    if (last !== hole) {
      if (last.length > 0) this.#copy(last, hole, last.length);
      last.row = hole.row;
      rows[hole.row] = last;
    }
    // A class keeps its room while it is in use: making it smaller copies what is left, and `#trim` does it when it must.
    if (rows.length === 0) this.#resize(hole.sizeClass, 0);
  }
}

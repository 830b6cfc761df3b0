/** Two small whole numbers to two others, in flat memory: a tokenizer has hundreds of thousands of merges. */
export class PairMap {
  /** left + 1 (0: free), right, first, second */
  private slots: Int32Array;
  private mask: number;
  private count = 0;

  constructor(expected = 8) {
    const capacity = 2 ** Math.max(4, Math.ceil(Math.log2(expected * 1.6 + 1)));
    this.slots = new Int32Array(4 * capacity);
    this.mask = capacity - 1;
  }

  /** Keys must not be negative; a key that is there is overwritten. */
  set(left: number, right: number, first: number, second: number): void {
    if (this.count * 1.5 > this.mask) this.grow();
    const at = this.find(left, right);
    if (this.slots[at] === 0) this.count++;
    this.slots[at] = left + 1;
    this.slots[at + 1] = right;
    this.slots[at + 2] = first;
    this.slots[at + 3] = second;
  }

  /** A handle for `first` and `second`; -1: there is no such pair. Valid until the next `set`. */
  lookup(left: number, right: number): number {
    const at = this.find(left, right);
    return this.slots[at] === 0 ? -1 : at;
  }

  first(handle: number): number {
    return this.slots[handle + 2]!;
  }

  second(handle: number): number {
    return this.slots[handle + 3]!;
  }

  /** Where the pair is, or the free slot where it belongs. */
  private find(left: number, right: number): number {
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right + 0x7f4a7c15, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let index = hash & this.mask; ; index = (index + 1) & this.mask) {
      const at = 4 * index;
      const stored = this.slots[at]!;
      if (stored === 0 || (stored === left + 1 && this.slots[at + 1] === right)) return at;
    }
  }

  private grow(): void {
    const old = this.slots;
    this.slots = new Int32Array(2 * old.length);
    this.mask = this.slots.length / 4 - 1;
    for (let at = 0; at < old.length; at += 4) {
      if (old[at] !== 0) this.slots.set(old.subarray(at, at + 4), this.find(old[at]! - 1, old[at + 1]!));
    }
  }
}

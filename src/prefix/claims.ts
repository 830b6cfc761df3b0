/** Who is about to compute a block that is not there yet, so that others wait instead of computing it as well. Pure. */

export interface Claimant {
  /** Tokens that are computed or on their way. */
  readonly computed: number;
  readonly background?: boolean;
}

export class Claims<T extends Claimant> {
  readonly #owners = new Map<string, T>();
  readonly #isRunning: (claimant: T) => boolean;

  constructor(isRunning: (claimant: T) => boolean) {
    this.#isRunning = isRunning;
  }

  get size(): number {
    return this.#owners.size;
  }

  owner(key: string): T | undefined {
    return this.#owners.get(key);
  }

  /** Whether the claimant should wait for the one who has claimed the block that ends at `position`. */
  isTaken(key: string, position: number, claimant: T): boolean {
    const owner = this.#owners.get(key);
    if (owner === undefined || owner === claimant) return false;
    // Those in the background get only what others leave: nobody else may have to wait for them.
    if (owner.background && !claimant.background) return false;
    return owner.computed < position && this.#isRunning(owner);
  }

  /** Takes the block unless another is about to compute it. */
  claim(key: string, position: number, claimant: T): void {
    if (!this.isTaken(key, position, claimant)) this.#owners.set(key, claimant);
  }

  release(keys: readonly string[], claimant: T): void {
    for (const key of keys) if (this.#owners.get(key) === claimant) this.#owners.delete(key);
  }
}

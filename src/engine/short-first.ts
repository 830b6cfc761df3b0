/** Prompts of long outputs that are put off for short ones that came with them. Pure. Shortest job first, within one burst. */
import type { Schedulable } from "./scheduler-contract.ts";

/** Limits of outputs above this say nothing: most clients ask for far more than they get. */
export const SHORT_OUTPUT = 32;

/** So many times shorter an output has to be to go first: nobody waits longer than that part of its own steps. */
const SHORTER = 8;

export class ShortFirst<T extends Schedulable> {
  /** For whom a sequence waits: settled when its prompt is first to be computed, so that later ones hold nobody up. */
  readonly #before = new WeakMap<T, readonly T[]>();

  /** Those of `prompts` that are not to be begun in the next step. */
  putOff(prompts: readonly T[], running: readonly T[]): Set<T> {
    const fresh = prompts.filter(({ computed }) => computed === 0);
    const short = fresh.filter(isShort);
    const before = (sequence: T) => short.filter((other) => goesBefore(other, sequence));
    for (const sequence of fresh) if (!this.#before.has(sequence)) this.#before.set(sequence, before(sequence));
    const going = new Set(running.filter(isShort));
    return new Set(fresh.filter((sequence) => this.#before.get(sequence)!.some((other) => going.has(other))));
  }
}

/** Nobody waits for a prompt of more than twice its own, nor one whose output may have any length: somebody may be reading along. */
function goesBefore(short: Schedulable, { outputLimit, length }: Schedulable): boolean {
  return short.outputLimit! * SHORTER <= (outputLimit ?? 0) && short.length <= 2 * length;
}

function isShort({ outputLimit, held, background, length, maxLength }: Schedulable): boolean {
  return outputLimit != null && outputLimit <= SHORT_OUTPUT && !held && !background && length < maxLength;
}

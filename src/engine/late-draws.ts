/**
 * Draws the tokens of steps in which some sequences are held to grammars: while a step's forward pass runs, the matchers take
 * the tokens of the step before and say what may follow. A mask that is not there in time holds up its own sequence only:
 * its logits are kept, it takes no part in steps, and its token is drawn with those of a later step.
 */
import { release } from "../mlx/array.ts";
import type { Sequence } from "./sequence.ts";
import { Step, type Undrawn } from "./step.ts";

/** How long a batch whose forward pass is computed waits for masks. */
const GRACE_MS = 1;

export class LateDraws {
  readonly #vocabSize: number;
  readonly #judge: (sequence: Sequence) => void;
  #held: Undrawn[] = [];

  /** `judge` is given each sequence whose mask is there, and ends those that have nothing more to draw. */
  constructor(vocabSize: number, judge: (sequence: Sequence) => void) {
    this.#vocabSize = vocabSize;
    this.#judge = judge;
  }

  /** Whether sequences wait whose logits are there. */
  get holds(): boolean {
    return this.#held.length > 0;
  }

  /**
   * Whether a step with these sequences cannot be drawn from when it is submitted: a grammar, and a penalty for repetitions, depend
   * on the token before.
   */
  defers(items: readonly { sequence: Sequence; sample: boolean }[]): boolean {
    return this.holds || items.some(({ sequence, sample }) => sample && (sequence.constraint !== null || sequence.dry !== null));
  }

  /** Draws for `step`, the last one submitted, and for sequences held up before; if need be in a step of its own, which is returned. */
  async draw(step: Step | null): Promise<Step | null> {
    if (!this.holds && (step === null || step.undrawn.length === 0)) return null;
    if (step) await this.#awaitMasks(step);
    const candidates = [...(step?.undrawn ?? []), ...this.#held.map(({ sequence }) => sequence)];
    for (const sequence of candidates) if (!sequence.finished && isReady(sequence)) this.#judge(sequence);
    const own = (step?.undrawn ?? []).filter(({ finished }) => !finished);
    const due = this.#held.filter(({ sequence }) => isReady(sequence));
    if (step === null && due.length === 0) return null;
    this.#held = this.#held.filter(({ sequence }) => !isReady(sequence));
    const target = step ?? Step.empty();
    const late = own.filter((sequence) => !isReady(sequence));
    this.#held.push(...target.draw(own.filter(isReady), late, due, this.#vocabSize));
    for (const sequence of late) sequence.held = true;
    for (const { sequence } of due) sequence.held = false;
    return step === null ? target : null;
  }

  /** Settles when one of the held sequences can be drawn. */
  async some(): Promise<void> {
    await Promise.race(this.#held.map(({ sequence }) => sequence.constraint?.settled));
  }

  /** Frees what is kept for a sequence that has ended. */
  drop(sequence: Sequence): void {
    for (const held of this.#held) if (held.sequence === sequence) release(held.logits);
    this.#held = this.#held.filter((held) => held.sequence !== sequence);
  }

  async #awaitMasks(step: Step): Promise<void> {
    const missing = step.undrawn.filter((sequence) => !sequence.finished && !isReady(sequence));
    if (missing.length === 0) return;
    const expired = () => Bun.sleep(GRACE_MS);
    await Promise.race([
      Promise.all(missing.map(({ constraint }) => constraint?.settled)),
      // Whether it failed is heard where the step is read.
      step.computed.then(expired, expired),
    ]);
  }
}

function isReady({ constraint }: Sequence): boolean {
  return constraint === null || constraint.ready;
}

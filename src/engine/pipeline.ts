import type { GeneratedToken } from "./request.ts";
import type { Sequence } from "./sequence.ts";
import type { Step } from "./step.ts";
import { StepBudget } from "./step-budget.ts";
import { Throughput } from "./throughput.ts";

/** Steps that are submitted and not read, oldest first: at most two, of which the older one runs. */
export class Pipeline {
  readonly throughput = new Throughput();
  readonly budget: StepBudget;
  /** When the last step that was read had ended, on `performance.now()`'s clock. */
  lastEnd = 0;
  #steps: Step[] = [];

  constructor(maxTokensPerStep: number) {
    this.budget = new StepBudget(maxTokensPerStep);
  }

  get depth(): number {
    return this.#steps.length;
  }

  get newest(): Step | null {
    return this.#steps.at(-1) ?? null;
  }

  push(step: Step): void {
    this.#steps.push(step);
  }

  /** Waits for the oldest step, passes on what it has drawn, and frees it. */
  async read(receive: (sequence: Sequence, token: GeneratedToken) => void): Promise<void> {
    const step = this.#steps[0]!;
    try {
      await step.done;
      this.#time(step);
      for (const { sequence, token } of step.read()) receive(sequence, token);
    } finally {
      // The next step's graph holds the tokens itself.
      this.#steps.shift();
      step.free();
    }
  }

  /** Waits for everything, however it ends, and frees it unread. */
  async drain(): Promise<void> {
    await Promise.allSettled(this.#steps.map(({ done }) => done));
    for (const step of this.#steps) step.free();
    this.#steps = [];
  }

  /** A step runs from its submission, or from the end of the one before it. */
  #time({ submittedAt, decodeTokens, prefillTokens, drawnCount }: Step): void {
    const now = performance.now();
    const ms = now - Math.max(submittedAt, this.lastEnd);
    this.lastEnd = now;
    this.throughput.add(ms, drawnCount);
    this.budget.record({ decodeTokens, prefillTokens, ms });
  }
}

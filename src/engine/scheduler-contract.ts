/** What the scheduler takes and gives. */

/** What the scheduler sees of a sequence, and moves on. */
export interface Schedulable {
  readonly id: number;
  /** Tokens that exist, sampled ones still in flight included. */
  length: number;
  /** Tokens whose cache entries exist once the submitted steps have run. */
  computed: number;
  /** Sampled tokens whose values are not known yet. */
  inFlight: number;
  /** Its next token waits to be drawn: it takes no part in steps. */
  readonly held?: boolean;
  /** Runs only in what others leave: it waits behind them, and goes back to the queue when they need its place. */
  readonly background?: boolean;
  /** False: not to be let in yet; true by default. */
  readonly ready?: boolean;
  /** Length at which no further token is wanted. */
  readonly maxLength: number;
  /** The most tokens of its output where the request says so; null by default. */
  readonly outputLimit?: number | null;
}

export interface PlanItem<T extends Schedulable> {
  sequence: T;
  /** Position of the first token to compute. */
  start: number;
  count: number;
  /** The last token is the newest: a next one is sampled. */
  sample: boolean;
}

export interface Plan<T extends Schedulable> {
  items: PlanItem<T>[];
  /** Put back to the queue for want of memory; their cache is gone. */
  preempted: T[];
  /** Too long for the memory even alone: they end here, all their tokens known. */
  exhausted: T[];
}

/** What decides how many prompt tokens a step may have. */
export interface PrefillLoad {
  /** Rows that decode in the step. */
  decoding: number;
  /** Sequences that still wait for their first token. */
  prompts: number;
  /** Tokens that they have still to compute. */
  left: number;
}

/** What other sequences have computed already. */
export interface PrefixSource<T> {
  /** Tokens after the computed ones that need not be computed: they will be in the row before the step runs. */
  reuse(sequence: T): number;
  /** Whether another one is about to compute what this one needs next. */
  waits(sequence: T): boolean;
  /** Tokens after the computed ones that a step may have at most. */
  spanLimit(sequence: T): number;
}

export interface SchedulerOptions {
  maxBatchSize: number;
  /** At least maxBatchSize, so that every decoding row fits into every step. */
  maxTokensPerStep: number;
  maxQueue: number;
  /** The most tokens of one sequence in a step; any number unless told. */
  maxSpan?: number;
  /** Share of the cache memory up to which new sequences are let in beside others: 0.8 unless told. */
  admissionShare?: number;
}

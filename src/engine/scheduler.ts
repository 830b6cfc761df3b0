/** Decides what the next step computes. Pure: no tensors, no clock. Sarathi / vLLM V1 style token-budget plans. */
import { Overloaded } from "../errors.ts";
import type { RowTable } from "../kv/rows.ts";
import type { Plan, PrefillLoad, PrefixSource, Schedulable, SchedulerOptions } from "./scheduler-contract.ts";
import { SHORT_OUTPUT, ShortFirst } from "./short-first.ts";

export type {
  Plan,
  PlanItem,
  PrefillLoad,
  PrefixSource,
  Schedulable,
  SchedulerOptions,
} from "./scheduler-contract.ts";

/** How often a waiting sequence may be overtaken by ones that need less memory. */
const MAX_OVERTAKES = 32;

/** Tokens before the end of its row from which on a sequence may move up. */
const MOVE_AHEAD = 48;

interface Waiting<T> {
  sequence: T;
  overtaken: number;
}

export class Scheduler<T extends Schedulable> {
  readonly #options: SchedulerOptions;
  readonly #rows: RowTable;
  #waiting: Waiting<T>[] = [];
  /** In the order of admission. */
  #running: T[] = [];

  readonly #prefix: PrefixSource<T> | null;
  readonly #shortFirst = new ShortFirst<T>();

  constructor(options: SchedulerOptions, rows: RowTable, prefix: PrefixSource<T> | null = null) {
    this.#prefix = prefix;
    this.#options = { ...options, maxTokensPerStep: Math.max(options.maxTokensPerStep, options.maxBatchSize) };
    this.#rows = rows;
  }

  get queueSize(): number {
    return this.#waiting.length;
  }

  get activeCount(): number {
    return this.#running.length;
  }

  get idle(): boolean {
    return this.#waiting.length === 0 && this.#running.length === 0;
  }

  /** Whether some are waiting that may not be let in yet. */
  get held(): boolean {
    return this.#waiting.some(({ sequence }) => sequence.ready === false);
  }

  /** Throws `Overloaded` when the queue is full. Those that the free places of the batch will take are no queue yet. */
  enqueue(sequence: T): void {
    const places = Math.max(0, this.#options.maxBatchSize - this.#running.length);
    if (this.#waiting.length >= this.#options.maxQueue + places) {
      throw new Overloaded(`The queue is full: ${this.#waiting.length} requests are waiting.`, 1);
    }
    if (sequence.background) this.#waiting.push({ sequence, overtaken: 0 });
    else this.#waiting.splice(this.#firstBackground(), 0, { sequence, overtaken: 0 });
  }

  /** Where those that run in the background begin in the queue. */
  #firstBackground(): number {
    const at = this.#waiting.findIndex(({ sequence }) => sequence.background);
    return at < 0 ? this.#waiting.length : at;
  }

  /** Takes a finished or cancelled sequence out, wherever it is, and frees its row. */
  remove(sequence: T): void {
    const at = this.#running.indexOf(sequence);
    if (at >= 0) this.#running.splice(at, 1);
    else this.#waiting = this.#waiting.filter((waiting) => waiting.sequence !== sequence);
    this.#rows.remove(sequence.id);
  }

  /**
   * The next step; the sequences in it are moved on as if it had run. `prefillLimit` says how many prompt tokens may go
   * beside the decoding rows.
   */
  plan(prefillLimit: (load: PrefillLoad) => number = () => Number.POSITIVE_INFINITY): Plan<T> {
    const plan: Plan<T> = { items: [], preempted: [], exhausted: [] };
    this.#planDecoding(plan);
    this.#yieldPlace(plan);
    this.#admit(plan);
    const decoding = plan.items.length;
    const prompts = this.#openPrompts(plan);
    if (prompts.length > 0) {
      const all = [...prompts, ...this.#waiting.map(({ sequence }) => sequence)];
      const left = all.reduce((sum, sequence) => sum + this.#remaining(sequence), 0);
      const limit = prefillLimit({ decoding, prompts: all.length, left });
      this.#planPrefill(plan, prompts, Math.min(this.#options.maxTokensPerStep - decoding, limit));
    }
    for (const { sequence, count, sample } of plan.items) {
      sequence.computed += count;
      this.#rows.advance(sequence.id, sequence.computed);
      if (!sample) continue;
      sequence.length += 1;
      sequence.inFlight += 1;
    }
    return plan;
  }

  /** One token for every row that has one to compute. */
  #planDecoding(plan: Plan<T>): void {
    for (const sequence of [...this.#running]) {
      if (sequence.held || sequence.length - sequence.computed !== 1 || sequence.length >= sequence.maxLength) continue;
      if (!this.#running.includes(sequence)) continue;
      if (this.#secure(sequence, plan)) this.#add(plan, sequence, 1);
    }
    this.#moveEarly(plan);
  }

  /** Rows that began together reach the end of their size class together: a few at a time move up before, so that no step has all. */
  #moveEarly(plan: Plan<T>): void {
    let moves = Math.ceil(plan.items.length / MOVE_AHEAD);
    for (const { sequence } of plan.items) {
      const capacity = this.#rows.capacityOf(sequence.id);
      if (sequence.maxLength <= capacity || sequence.length + MOVE_AHEAD <= capacity) continue;
      if (this.#leavesReserve(capacity + 1) && this.#rows.ensure(sequence.id, capacity + 1, sequence.computed)) moves--;
      if (moves <= 0) return;
    }
  }

  /**
   * Room for the sequence's next token, if need be by preempting the youngest. False when it is out itself; alone, its
   * old and its larger row may be too much together, and what cannot be moved is computed again.
   */
  #secure(sequence: T, plan: Plan<T>): boolean {
    while (!this.#rows.ensure(sequence.id, sequence.length, sequence.computed)) {
      const last = this.#youngestBackground() ?? this.#running.at(-1)!;
      this.#preempt(last, plan);
      if (last === sequence) return false;
    }
    return true;
  }

  #youngestBackground(): T | undefined {
    return this.#running.findLast(({ background }) => background);
  }

  /** Makes the place that somebody needs who goes before those in the background. */
  #yieldPlace(plan: Plan<T>): void {
    const wants = this.#waiting.filter(({ sequence }) => !sequence.background && sequence.ready !== false).length;
    const free = this.#options.maxBatchSize - this.#running.length;
    for (let missing = wants - free; missing > 0; missing--) {
      const background = this.#youngestBackground();
      if (!background) return;
      this.#preempt(background, plan);
    }
  }

  #preempt(sequence: T, plan: Plan<T>): void {
    this.#running.splice(this.#running.indexOf(sequence), 1);
    this.#rows.remove(sequence.id);
    const planned = plan.items.findIndex((item) => item.sequence === sequence);
    if (planned >= 0) plan.items.splice(planned, 1);
    sequence.computed = 0;
    this.#waiting.splice(sequence.background ? this.#firstBackground() : 0, 0, { sequence, overtaken: 0 });
    plan.preempted.push(sequence);
  }

  /** Lets waiting sequences in while there are places and memory; one that finds no memory may be overtaken for a while. */
  #admit(plan: Plan<T>): void {
    let wanting = false;
    for (let i = 0; i < this.#waiting.length; ) {
      if (this.#running.length >= this.#options.maxBatchSize) return;
      const waiting = this.#waiting[i]!;
      const { sequence } = waiting;
      // What is left is what somebody waits for who goes before it: it would be put back in the next step.
      if (sequence.background && wanting) return;
      // A preempted one waits for its last token's value.
      if (sequence.ready === false) {
        i++;
        continue;
      }
      if (sequence.inFlight === 0 && !this.#rows.fitsAlone(sequence.length + 1)) {
        this.#waiting.splice(i, 1);
        plan.exhausted.push(sequence);
      } else if (
        sequence.inFlight === 0 &&
        this.#leavesReserve(sequence.length + 1) &&
        this.#rows.ensure(sequence.id, sequence.length + 1, 0)
      ) {
        this.#waiting.splice(i, 1);
        this.#running.push(sequence);
        for (const before of this.#waiting.slice(0, i)) before.overtaken++;
      } else if (!sequence.background && sequence.inFlight === 0 && this.#youngestBackground()) {
        this.#preempt(this.#youngestBackground()!, plan);
      } else if (waiting.overtaken >= MAX_OVERTAKES) return;
      else {
        wanting = true;
        i++;
      }
    }
  }

  /** What runs will grow: filling the memory to the brim would have rows preempted and computed again. */
  #leavesReserve(length: number): boolean {
    return this.#running.length === 0 || this.#rows.shareWith(length) <= (this.#options.admissionShare ?? 0.8);
  }

  /** Least work first, so that a short request never waits for a long one; the oldest always gets a quarter. */
  #planPrefill(plan: Plan<T>, open: readonly T[], budget: number): void {
    if (budget <= 0) return;
    const oldest = open.find(({ background }) => !background) ?? open[0]!;
    const reserved = Math.min(this.#nextSpan(oldest), Math.max(1, Math.floor(budget / 4)));
    let left = budget - reserved;
    const counts = new Map<T, number>([[oldest, reserved]]);
    for (const sequence of open.toSorted((a, b) => this.#rank(a) - this.#rank(b))) {
      if (left <= 0) break;
      const already = counts.get(sequence) ?? 0;
      const more = Math.min(this.#nextSpan(sequence) - already, left);
      counts.set(sequence, already + more);
      left -= more;
    }
    for (const [sequence, count] of counts) if (count > 0) this.#add(plan, sequence, count);
  }

  /** Admitted sequences with tokens to compute that are not in the plan and wait for nobody, in the order of admission. */
  #openPrompts(plan: Plan<T>): T[] {
    const planned = new Set(plan.items.map((item) => item.sequence));
    const open = this.#running.filter((sequence) => this.#remaining(sequence) > 0 && !planned.has(sequence));
    const putOff = this.#shortFirst.putOff(open, this.#running);
    const prompts = this.#computable(open.filter((sequence) => !putOff.has(sequence)));
    // Never an empty step: a short one may wait for what another one is to compute.
    return prompts.length + plan.items.length > 0 ? prompts : this.#computable([...putOff]);
  }

  /** Those that wait for nobody else to compute their beginning, moved on by what is known of it. */
  #computable(open: readonly T[]): T[] {
    const prefix = this.#prefix;
    if (prefix === null) return [...open];
    return open.filter((sequence) => {
      const reused = prefix.reuse(sequence);
      if (reused > 0) {
        sequence.computed += reused;
        this.#rows.advance(sequence.id, sequence.computed);
      }
      return !prefix.waits(sequence);
    });
  }

  /** Prompts by what is left of them, then by their output as far as its limit says that it is short. */
  #rank(sequence: T): number {
    const last = sequence.background ? Number.MAX_SAFE_INTEGER / 2 : 0;
    return last + this.#remaining(sequence) + Math.min(sequence.maxLength - sequence.length, SHORT_OUTPUT);
  }

  /** Tokens to compute before the next one can be sampled; 0 for a sequence that wants no more. */
  #remaining(sequence: T): number {
    return sequence.held || sequence.length >= sequence.maxLength ? 0 : sequence.length - sequence.computed;
  }

  /** The most of them that one step may have. */
  #nextSpan(sequence: T): number {
    const { maxSpan = Number.POSITIVE_INFINITY } = this.#options;
    return Math.min(this.#remaining(sequence), maxSpan, this.#prefix?.spanLimit(sequence) ?? Number.POSITIVE_INFINITY);
  }

  #add(plan: Plan<T>, sequence: T, count: number): void {
    const start = sequence.computed;
    plan.items.push({ sequence, start, count, sample: start + count === sequence.length });
  }
}

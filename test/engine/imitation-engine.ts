/** Runs the scheduler as the engine does, with arrays in place of tensors, and throws when a plan is wrong. */
import { type Plan, type Schedulable, Scheduler, type SchedulerOptions } from "../../src/engine/scheduler.ts";
import { RowTable } from "../../src/kv/rows.ts";
import { ImitationTensors } from "../kv/imitation-tensors.ts";

export class ImitationSequence implements Schedulable {
  readonly id: number;
  readonly promptLength: number;
  readonly maxLength: number;
  /** How many tokens it gives before its end token, which the scheduler cannot know. */
  readonly ending: number;
  length: number;
  computed = 0;
  inFlight = 0;
  /** Tokens whose values have come. */
  received = 0;
  finished: "stop" | "length" | "exhausted" | "cancelled" | null = null;
  /** Step at which it came or last received a token. */
  progress: number;
  /** How many that came later have got all their tokens since then. */
  overtaken = 0;
  /** What the plans must have computed so far. */
  expectedComputed = 0;
  preemptions = 0;

  constructor(options: { id: number; promptLength: number; maxTokens: number; ending: number; arrived: number }) {
    this.id = options.id;
    this.promptLength = options.promptLength;
    this.length = options.promptLength;
    this.maxLength = options.promptLength + options.maxTokens;
    this.ending = options.ending;
    this.progress = options.arrived;
  }

  /** The value that its token at position 0 has in the arrays. */
  get first(): number {
    return this.id * 1024;
  }
}

export interface ImitationOptions extends SchedulerOptions {
  capacities: readonly number[];
  budgetTokens: number;
}

function demand(condition: boolean, complaint: () => string): void {
  if (!condition) throw new Error(complaint());
}

export class ImitationEngine {
  readonly rows: RowTable;
  readonly scheduler: Scheduler<ImitationSequence>;
  readonly tensors: ImitationTensors;
  readonly live = new Set<ImitationSequence>();
  readonly counts = { stop: 0, length: 0, exhausted: 0, cancelled: 0, preempted: 0, computed: 0, recomputed: 0 };
  /** The longest that a sequence has waited for its next token, in steps. */
  longestWait = 0;
  /** The most that have come later and were served while one waited for its next token. */
  mostOvertaken = 0;
  now = 0;
  readonly #options: ImitationOptions;
  #submitted: ImitationSequence[][] = [];

  constructor(options: ImitationOptions) {
    this.#options = options;
    this.rows = new RowTable({
      capacities: options.capacities,
      rowBytes: (capacity) => capacity,
      budgetBytes: options.budgetTokens,
    });
    this.scheduler = new Scheduler(options, this.rows);
    this.tensors = new ImitationTensors(options.capacities);
  }

  get idle(): boolean {
    return this.scheduler.idle && this.#submitted.length === 0;
  }

  /** Throws what the scheduler throws. */
  add(sequence: ImitationSequence): void {
    this.scheduler.enqueue(sequence);
    this.live.add(sequence);
  }

  finish(sequence: ImitationSequence, how: NonNullable<ImitationSequence["finished"]>): void {
    sequence.finished = how;
    for (const other of this.live) {
      if (how !== "cancelled" && other.id < sequence.id) this.mostOvertaken = Math.max(this.mostOvertaken, ++other.overtaken);
    }
    this.counts[how]++;
    this.live.delete(sequence);
    this.scheduler.remove(sequence);
    demand(this.rows.place(sequence.id) === undefined, () => `sequence ${sequence.id} keeps a row`);
  }

  /** Submits one step and reads those that are more than `delay` steps behind. `prefillLimit`: for prompts beside decoding rows. */
  step(delay: number, prefillLimit = Number.POSITIVE_INFINITY): void {
    this.now++;
    const before = new Map([...this.live].map((s) => [s, { length: s.length, inFlight: s.inFlight }]));
    const plan = this.scheduler.plan(({ decoding }) => (decoding === 0 ? Number.POSITIVE_INFINITY : prefillLimit));
    for (const sequence of plan.preempted) {
      sequence.expectedComputed = 0;
      sequence.preemptions++;
      this.counts.preempted++;
    }
    for (const sequence of plan.exhausted) this.finish(sequence, "exhausted");
    this.#checkLimits(plan);
    if (plan.items.length > 0) {
      this.tensors.apply(this.rows.takeActions());
      for (const item of plan.items) this.#compute(item, before.get(item.sequence)!);
      this.#submitted.push(plan.items.filter(({ sample }) => sample).map(({ sequence }) => sequence));
    }
    demand(this.#submitted.length > 0 || this.scheduler.idle, () => "the scheduler has stalled");
    const keep = plan.items.length > 0 ? delay : 0;
    while (this.#submitted.length > keep) for (const sequence of this.#submitted.shift()!) this.#receive(sequence);
    for (const { progress } of this.live) this.longestWait = Math.max(this.longestWait, this.now - progress);
  }

  #checkLimits({ items }: Plan<ImitationSequence>): void {
    const { maxBatchSize, maxTokensPerStep, budgetTokens, maxQueue } = this.#options;
    const tokens = items.reduce((sum, { count }) => sum + count, 0);
    demand(tokens <= Math.max(maxTokensPerStep, maxBatchSize), () => `${tokens} tokens in a step`);
    demand(this.rows.bytes <= budgetTokens, () => `${this.rows.bytes} bytes of ${budgetTokens}`);
    demand(this.scheduler.activeCount <= maxBatchSize, () => "too many rows");
    demand(this.scheduler.queueSize <= maxQueue + maxBatchSize, () => "the queue is too long");
    demand(this.scheduler.activeCount + this.scheduler.queueSize === this.live.size, () => "a sequence is lost");
    demand(new Set(items.map(({ sequence }) => sequence)).size === items.length, () => "a sequence is planned twice");
    const places = new Set([...this.live].flatMap(({ id }) => this.#placeName(id) ?? []));
    demand(places.size === this.scheduler.activeCount, () => `${places.size} rows for ${this.scheduler.activeCount} sequences`);
  }

  #placeName(id: number): string | null {
    const place = this.rows.place(id);
    return place ? `${place.sizeClass}/${place.row}` : null;
  }

  #compute(
    { sequence, start, count, sample }: Plan<ImitationSequence>["items"][number],
    before: { length: number; inFlight: number },
  ) {
    const name = `sequence ${sequence.id}`;
    demand(sequence.finished === null, () => `${name} has ended`);
    demand(start === sequence.expectedComputed, () => `${name} goes on at ${start} instead of ${sequence.expectedComputed}`);
    demand(count > 0 && start + count <= before.length, () => `${name} computes ${count} tokens at ${start} of ${before.length}`);
    demand(sample === (start + count === before.length), () => `${name} samples at the wrong place`);
    demand(start > 0 || before.inFlight === 0, () => `${name} starts again with tokens unknown`);
    demand(sequence.length === before.length + Number(sample), () => `${name} has the wrong length`);
    demand(sequence.length <= sequence.maxLength, () => `${name} gets too long`);
    const { sizeClass, row } = this.rows.place(sequence.id)!;
    this.tensors.check(sizeClass, row, start, sequence.first);
    for (let i = start; i < start + count; i++) this.tensors.write(sizeClass, row, i, sequence.first + i);
    sequence.expectedComputed = start + count;
    demand(sequence.computed === start + count, () => `${name} has computed ${sequence.computed}`);
    this.counts.computed += count;
    if (sequence.preemptions > 0) this.counts.recomputed += count;
  }

  #receive(sequence: ImitationSequence): void {
    sequence.inFlight--;
    if (sequence.finished !== null) return;
    sequence.received++;
    sequence.progress = this.now;
    sequence.overtaken = 0;
    const { promptLength, received, maxLength, ending } = sequence;
    if (received === ending) this.finish(sequence, "stop");
    else if (promptLength + received === maxLength) this.finish(sequence, "length");
  }
}

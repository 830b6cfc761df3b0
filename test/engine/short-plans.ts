/** A scheduler without an engine, whose plans are said in short. */
import { type Plan, type Schedulable, Scheduler } from "../../src/engine/scheduler.ts";
import { RowTable } from "../../src/kv/rows.ts";

export interface Options {
  batch?: number;
  tokens?: number;
  queue?: number;
  /** Budget of the cache in tokens. */
  memory?: number;
}

export const CAPACITIES = [8, 16, 32, 64, 128];

export function make({ batch = 4, tokens = 16, queue = 100, memory = 10_000 }: Options = {}) {
  const rows = new RowTable({ capacities: CAPACITIES, rowBytes: (capacity) => capacity, budgetBytes: memory });
  const scheduler = new Scheduler<Schedulable>(
    { maxBatchSize: batch, maxTokensPerStep: tokens, maxQueue: queue, admissionShare: 1 },
    rows,
  );
  const add = (id: number, length: number, maxLength = 128, more: Partial<Schedulable> = {}): Schedulable => {
    const sequence = { id, length, maxLength, computed: 0, inFlight: 0, ...more };
    scheduler.enqueue(sequence);
    return sequence;
  };
  /** Plans a step and says it in short; `s` marks a token sampled. Its tokens arrive at once unless `pending`. */
  const step = ({ pending = false } = {}): string[] => {
    const plan = scheduler.plan();
    if (!pending) arrive(plan);
    return shorten(plan);
  };
  return { rows, scheduler, add, step };
}

export function arrive({ items }: Plan<Schedulable>): void {
  for (const { sequence, sample } of items) if (sample) sequence.inFlight--;
}

export function shorten({ items, preempted, exhausted }: Plan<Schedulable>): string[] {
  return [
    ...items.map(({ sequence, start, count, sample }) => `${sequence.id}: ${start}+${count}${sample ? "s" : ""}`),
    ...preempted.map(({ id }) => `${id}: preempted`),
    ...exhausted.map(({ id }) => `${id}: exhausted`),
  ];
}

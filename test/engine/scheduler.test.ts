import { describe, expect, test } from "bun:test";
import { type Plan, type Schedulable, Scheduler } from "../../src/engine/scheduler.ts";
import { Overloaded } from "../../src/errors.ts";
import { RowTable } from "../../src/kv/rows.ts";

interface Options {
  batch?: number;
  tokens?: number;
  queue?: number;
  /** Budget of the cache in tokens. */
  memory?: number;
}

const CAPACITIES = [8, 16, 32, 64, 128];

function make({ batch = 4, tokens = 16, queue = 100, memory = 10_000 }: Options = {}) {
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

function arrive({ items }: Plan<Schedulable>): void {
  for (const { sequence, sample } of items) if (sample) sequence.inFlight--;
}

function shorten({ items, preempted, exhausted }: Plan<Schedulable>): string[] {
  return [
    ...items.map(({ sequence, start, count, sample }) => `${sequence.id}: ${start}+${count}${sample ? "s" : ""}`),
    ...preempted.map(({ id }) => `${id}: preempted`),
    ...exhausted.map(({ id }) => `${id}: exhausted`),
  ];
}

describe("a plan", () => {
  test("cuts a long prompt into chunks and samples after the last", () => {
    const { add, step } = make();
    add(1, 40);
    expect([step(), step(), step(), step(), step()]).toEqual([
      ["1: 0+16"],
      ["1: 16+16"],
      ["1: 32+8s"],
      ["1: 40+1s"],
      ["1: 41+1s"],
    ]);
  });

  test("gives decoding rows their token first and the rest to prompts", () => {
    const { add, step } = make();
    add(1, 3);
    add(2, 4);
    step();
    add(3, 40);
    expect([step(), step(), step()]).toEqual([
      ["1: 3+1s", "2: 4+1s", "3: 0+14"],
      ["1: 4+1s", "2: 5+1s", "3: 14+14"],
      ["1: 5+1s", "2: 6+1s", "3: 28+12s"],
    ]);
  });

  test("takes the shortest remainder first, and always a quarter for the oldest", () => {
    const { add, step } = make({ tokens: 20 });
    add(1, 100);
    add(2, 12);
    add(3, 8);
    expect([step(), step(), step()]).toEqual([
      ["1: 0+5", "3: 0+8s", "2: 0+7"],
      ["3: 8+1s", "1: 5+14", "2: 7+5s"],
      ["2: 12+1s", "3: 9+1s", "1: 19+18"],
    ]);
  });

  test("moves the oldest prompt on however many short ones come", () => {
    const { add, step } = make({ batch: 3, tokens: 8 });
    const oldest = add(1, 60);
    for (let id = 2; oldest.computed < 60; id++) {
      const before = oldest.computed;
      add(id, 8, 9);
      const short = add(1000 + id, 8, 9);
      step();
      expect(oldest.computed).toBeGreaterThanOrEqual(before + 1);
      expect(short.computed).toBeLessThanOrEqual(8);
      expect(id).toBeLessThan(70);
    }
  });

  test("has room for a token of every row even when the token budget is smaller", () => {
    const { add, step } = make({ batch: 4, tokens: 1 });
    for (const id of [1, 2, 3, 4]) add(id, 1);
    expect(step()).toHaveLength(4);
    expect(step()).toEqual(["1: 1+1s", "2: 1+1s", "3: 1+1s", "4: 1+1s"]);
  });

  test("goes one step ahead of the tokens' values, but never beyond the wanted length", () => {
    const { add, step, scheduler } = make();
    const sequence = add(1, 4, 6);
    expect(step({ pending: true })).toEqual(["1: 0+4s"]);
    expect(step({ pending: true })).toEqual(["1: 4+1s"]);
    expect(sequence).toMatchObject({ length: 6, computed: 5, inFlight: 2 });
    expect(step()).toEqual([]);
    expect(scheduler.idle).toBe(false);
    scheduler.remove(sequence);
    expect(scheduler.idle).toBe(true);
  });

  test("takes no more of prompts than it is told", () => {
    const { add, scheduler } = make();
    add(1, 2);
    arrive(scheduler.plan());
    add(2, 30);
    const asked: number[] = [];
    const plan = (limit: number) => {
      const next = scheduler.plan((load) => {
        asked.push(load.decoding);
        return limit;
      });
      arrive(next);
      return shorten(next);
    };
    expect([plan(5), plan(0), plan(100)]).toEqual([["1: 2+1s", "2: 0+5"], ["1: 3+1s"], ["1: 4+1s", "2: 5+15"]]);
    expect(plan(100)).toEqual(["1: 5+1s", "2: 20+10s"]);
    expect(plan(100)).toEqual(["1: 6+1s", "2: 30+1s"]);
    expect(asked).toEqual([1, 1, 1, 1]);
  });

  test("is empty when there is nothing to do", () => {
    expect(make().step()).toEqual([]);
  });
});

describe("admission", () => {
  test("keeps a fifth of the memory for what runs to grow", () => {
    const rows = new RowTable({ capacities: [64], rowBytes: (capacity) => capacity, budgetBytes: 640 });
    const scheduler = new Scheduler<Schedulable>({ maxBatchSize: 16, maxTokensPerStep: 1024, maxQueue: 16 }, rows);
    for (let id = 1; id <= 12; id++) scheduler.enqueue({ id, length: 40, computed: 0, inFlight: 0, maxLength: 60 });
    expect(scheduler.plan().items).toHaveLength(8);
    expect(scheduler.queueSize).toBe(4);
  });

  test("stops at the size of the batch and goes on when a row is freed", () => {
    const { add, step, scheduler } = make({ batch: 2 });
    const [first] = [add(1, 2), add(2, 2), add(3, 2)];
    expect(step()).toEqual(["1: 0+2s", "2: 0+2s"]);
    expect([scheduler.activeCount, scheduler.queueSize]).toEqual([2, 1]);
    scheduler.remove(first!);
    expect(step()).toEqual(["2: 2+1s", "3: 0+2s"]);
    expect([scheduler.activeCount, scheduler.queueSize]).toEqual([2, 0]);
  });

  test("counts what waits beyond the free places, and refuses when that is too much", () => {
    const { add, step } = make({ batch: 2, queue: 1 });
    add(1, 2);
    add(2, 2);
    add(3, 2);
    expect(() => add(4, 2)).toThrow(Overloaded);
    step();
    expect(() => add(5, 2)).toThrow(Overloaded);
  });

  test("lets a short one past one that finds no memory", () => {
    const { add, step, scheduler, rows } = make({ memory: 64 + 8 + 8 });
    const large = add(1, 60);
    add(2, 50);
    add(3, 6, 8);
    expect(step()).toEqual(["1: 0+10", "3: 0+6s"]);
    expect(rows.bytes).toBeLessThanOrEqual(80);
    expect(scheduler.queueSize).toBe(1);
    scheduler.remove(large);
    expect(step()).toEqual(["3: 6+1s", "2: 0+15"]);
  });

  test("lets only so many past it", () => {
    const { add, step, scheduler } = make({ memory: 64 + 8 });
    const large = add(1, 60, 61);
    step();
    add(2, 50);
    let passed = 0;
    for (let id = 3; id < 100; id++) {
      const short = add(id, 2, 3);
      step();
      if (short.computed === 0) break;
      passed++;
      scheduler.remove(short);
    }
    expect(passed).toBe(32);
    scheduler.remove(large);
    expect(step()).toEqual(["2: 0+14", "35: 0+2s"]);
  });
});

describe("preemption", () => {
  test("puts the youngest back, waits for its tokens' values, and computes it again", () => {
    const { add, step, scheduler, rows } = make({ memory: 16 + 8 });
    const old = add(1, 7, 12);
    const young = add(2, 6, 9);
    expect(step()).toEqual(["1: 0+7s", "2: 0+6s"]);
    expect(step({ pending: true })).toEqual(["1: 7+1s", "2: 6+1s"]);
    old.inFlight--;
    // The older one needs a larger row: with the one that it leaves there is no room for the younger.
    expect(step()).toEqual(["1: 8+1s", "2: preempted"]);
    expect(young).toMatchObject({ length: 8, computed: 0, inFlight: 1 });
    expect([scheduler.activeCount, scheduler.queueSize, rows.place(2)]).toEqual([1, 1, undefined]);
    expect(step()).toEqual(["1: 9+1s"]);
    scheduler.remove(old);
    expect(step()).toEqual([]);
    young.inFlight--;
    expect(step()).toEqual(["2: 0+8s"]);
    expect(young).toMatchObject({ length: 9, computed: 8 });
  });

  test("takes as many as needed, and they come back in their old order", () => {
    const { add, step, scheduler } = make({ memory: 5 * 8, batch: 5, tokens: 32 });
    const all = [1, 2, 3, 4, 5].map((id) => add(id, 5, 20));
    for (let i = 0; i < 4; i++) expect(step()).toHaveLength(5);
    expect(step()).toEqual(["1: 8+1s", "2: 8+1s", "5: preempted", "4: preempted", "3: preempted"]);
    expect([scheduler.activeCount, scheduler.queueSize]).toEqual([2, 3]);
    scheduler.remove(all[0]!);
    expect(step()).toEqual(["2: 9+1s", "3: 0+9s"]);
  });

  test("computes again what is alone and cannot be moved", () => {
    const { add, step } = make({ memory: 20 });
    const only = add(1, 7, 16);
    expect(step()).toEqual(["1: 0+7s"]);
    expect(step({ pending: true })).toEqual(["1: 7+1s"]);
    expect(step()).toEqual(["1: preempted"]);
    expect(step()).toEqual([]);
    only.inFlight--;
    expect(step()).toEqual(["1: 0+9s"]);
  });

  test("ends what is too long for the memory even alone, when all its tokens are known", () => {
    const { add, step, scheduler, rows } = make({ memory: 8 });
    const only = add(1, 7, 20);
    expect(step()).toEqual(["1: 0+7s"]);
    expect(step({ pending: true })).toEqual(["1: 7+1s"]);
    expect(step()).toEqual(["1: preempted"]);
    expect(step()).toEqual([]);
    only.inFlight--;
    expect(step()).toEqual(["1: exhausted"]);
    expect([scheduler.idle, rows.bytes, only.length]).toEqual([true, 0, 9]);
  });

  test("ends one that others have put back and that has become too long", () => {
    const { add, step, scheduler } = make({ memory: 16 });
    add(1, 7, 20);
    add(2, 7, 20);
    expect(step()).toEqual(["1: 0+7s", "2: 0+7s"]);
    expect(step()).toEqual(["1: 7+1s", "2: 7+1s"]);
    expect(step()).toEqual(["1: 0+9s", "2: preempted", "1: preempted"]);
    for (let i = 0; i < 6; i++) step();
    expect(step()).toEqual(["1: 15+1s"]);
    expect(step()).toEqual(["2: 0+9s", "1: preempted", "1: exhausted"]);
    expect([scheduler.activeCount, scheduler.queueSize]).toEqual([1, 0]);
  });
});

describe("removal", () => {
  const states: [name: string, steps: number, length: number, options: Options][] = [
    ["waiting", 0, 5, {}],
    ["prefilling", 1, 40, {}],
    ["decoding", 3, 5, {}],
  ];
  test.each(states)("of one that is %s frees its row at once", (_name, steps, length, options) => {
    const { add, step, scheduler, rows } = make(options);
    const other = add(1, 3);
    const sequence = add(2, length);
    for (let i = 0; i < steps; i++) step();
    scheduler.remove(sequence);
    scheduler.remove(sequence);
    expect(rows.place(2)).toBeUndefined();
    expect(scheduler.activeCount + scheduler.queueSize).toBe(1);
    expect(step()).toEqual([expect.stringMatching(/^1: /)]);
    scheduler.remove(other);
    expect([scheduler.idle, rows.bytes]).toEqual([true, 0]);
  });

  test("of one that was preempted, with a token in flight or not", () => {
    const { add, step, scheduler, rows } = make({ memory: 16 + 8 });
    const old = add(1, 7, 12);
    const young = add(2, 6, 9);
    step();
    step({ pending: true });
    old.inFlight--;
    expect(step()).toContain("2: preempted");
    expect(young.inFlight).toBe(1);
    scheduler.remove(young);
    expect(scheduler.queueSize).toBe(0);
    scheduler.remove(old);
    expect([scheduler.idle, rows.bytes]).toEqual([true, 0]);
  });
});

describe("in the background", () => {
  const background = true;

  test("waits behind all others, and goes back to the queue when they need its place", () => {
    const { add, step, scheduler } = make({ batch: 2 });
    add(1, 4, 128, { background });
    add(2, 4, 128, { background });
    add(3, 4, 128, { background });
    expect(step()).toEqual(["1: 0+4s", "2: 0+4s"]);
    add(4, 4);
    expect(step()).toEqual(["1: 4+1s", "4: 0+4s", "2: preempted"]);
    const five = add(5, 4);
    expect(step()).toEqual(["4: 4+1s", "5: 0+4s", "1: preempted"]);
    expect(scheduler.queueSize).toBe(3);
    scheduler.remove(five);
    expect(step()).toEqual(["4: 5+1s", "1: 0+6s"]);
  });

  test("is preempted first when memory runs out, and makes room for one that is let in", () => {
    const { add, step } = make({ memory: 48, tokens: 64 });
    add(1, 20, 128, { background });
    expect(step()).toEqual(["1: 0+20s"]);
    add(2, 20);
    expect(step()).toEqual(["2: 0+20s", "1: preempted"]);
  });

  test("its prompts are computed after all others", () => {
    const { add, step } = make({ tokens: 16 });
    add(1, 10, 128, { background });
    add(2, 30);
    expect([step(), step(), step()]).toEqual([["2: 0+16"], ["2: 16+14s", "1: 0+2"], ["2: 30+1s", "1: 2+8s"]]);
  });
});

test("one that is not ready is passed over, however long", () => {
  const { add, step, scheduler } = make();
  const held = add(1, 4, 128, { ready: false });
  add(2, 4);
  for (let i = 0; i < 50; i++) expect(step().length).toBe(1);
  expect(scheduler.held).toBe(true);
  Object.assign(held, { ready: true });
  expect(step()).toEqual(["2: 53+1s", "1: 0+4s"]);
  expect(scheduler.held).toBe(false);
});

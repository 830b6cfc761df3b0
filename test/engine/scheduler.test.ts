import { describe, expect, test } from "bun:test";
import { type Schedulable, Scheduler } from "../../src/engine/scheduler.ts";
import { Overloaded } from "../../src/errors.ts";
import { RowTable } from "../../src/kv/rows.ts";
import { arrive, make, shorten } from "./short-plans.ts";

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

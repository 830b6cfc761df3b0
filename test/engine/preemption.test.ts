import { describe, expect, test } from "bun:test";
import { make, type Options } from "./short-plans.ts";

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

import { describe, expect, test } from "bun:test";
import { type Schedulable, Scheduler } from "../../src/engine/scheduler.ts";
import { RowTable } from "../../src/kv/rows.ts";
import { make, shorten } from "./short-plans.ts";

/** A request whose output has at most so many tokens. */
const limited = (length: number, outputLimit: number) => [length, length + outputLimit, { outputLimit }] as const;

describe("a long output that comes together with short ones", () => {
  test("is begun when they are done", () => {
    const { add, step } = make();
    add(1, ...limited(4, 24));
    add(2, ...limited(4, 3));
    add(3, ...limited(4, 2));
    expect([step(), step(), step(), step(), step()]).toEqual([
      ["2: 0+4s", "3: 0+4s"],
      ["2: 4+1s", "3: 4+1s"],
      ["2: 5+1s"],
      ["1: 0+4s"],
      ["1: 4+1s"],
    ]);
  });

  test("waits for none that come later", () => {
    const { add, step } = make();
    add(1, ...limited(4, 24));
    add(2, ...limited(4, 2));
    expect(step()).toEqual(["2: 0+4s"]);
    add(3, ...limited(4, 3));
    expect([step(), step()]).toEqual([
      ["2: 4+1s", "3: 0+4s"],
      ["3: 4+1s", "1: 0+4s"],
    ]);
  });

  test("waits no more for one that is gone, or that itself waits for its token to be drawn", () => {
    const { add, step, scheduler } = make();
    add(1, ...limited(4, 80));
    const gone = add(2, ...limited(4, 10));
    const held: Schedulable = add(3, 4, 14, { outputLimit: 10, held: true });
    expect(step()).toEqual(["2: 0+4s"]);
    scheduler.remove(gone);
    expect(step()).toEqual(["1: 0+4s"]);
    expect(held.computed).toBe(0);
  });

  test.each([
    ["whose own length nobody knows", 4, null, 4, 2],
    ["that is not much longer", 4, 23, 4, 3],
    ["with a prompt not half as long", 4, 80, 9, 3],
    ["beside one that may be long itself", 4, 400, 4, 33],
  ] as const)("but not one %s", (_name, length, outputLimit, otherLength, otherLimit) => {
    const { add, step } = make();
    add(1, length, 100, { outputLimit });
    add(2, ...limited(otherLength, otherLimit));
    expect(step().sort()).toEqual([`1: 0+${length}s`, `2: 0+${otherLength}s`]);
  });

  test("is begun where the short ones wait for what it computes", () => {
    const rows = new RowTable({ capacities: [8, 128], rowBytes: (capacity) => capacity, budgetBytes: 10_000 });
    const long: Schedulable = { id: 1, length: 6, maxLength: 86, outputLimit: 80, computed: 0, inFlight: 0 };
    const short: Schedulable = { id: 2, length: 6, maxLength: 9, outputLimit: 3, computed: 0, inFlight: 0 };
    const prefix = {
      reuse: () => 0,
      waits: (sequence: Schedulable) => sequence === short && long.computed === 0,
      spanLimit: () => Number.POSITIVE_INFINITY,
    };
    const scheduler = new Scheduler<Schedulable>({ maxBatchSize: 4, maxTokensPerStep: 16, maxQueue: 9 }, rows, prefix);
    scheduler.enqueue(long);
    scheduler.enqueue(short);
    expect(shorten(scheduler.plan())).toEqual(["1: 0+6s"]);
    expect(shorten(scheduler.plan())).toContain("2: 0+6s");
  });
});

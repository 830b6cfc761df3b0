import { describe, expect, test } from "bun:test";
import { type RowAction, RowTable, sizeClasses } from "../../src/kv/rows.ts";
import { Prng } from "../engine/prng.ts";
import { ImitationTensors } from "./imitation-tensors.ts";

const table = (capacities: readonly number[], budgetTokens: number) =>
  new RowTable({ capacities, rowBytes: (capacity) => capacity * 10, budgetBytes: budgetTokens * 10 });

describe("size classes", () => {
  const cases: [contextLength: number, smallest: number | undefined, classes: number[]][] = [
    [4096, undefined, [256, 512, 1024, 2048, 4096]],
    [3000, undefined, [256, 512, 1024, 2048, 3008]],
    [256, undefined, [256]],
    [100, undefined, [128]],
    [1, undefined, [64]],
    [100, 16, [16, 32, 64, 128]],
    [129, 16, [16, 32, 64, 128, 192]],
  ];
  test.each(cases)("of %i from %p on", (contextLength, smallest, classes) => {
    expect(sizeClasses(contextLength, smallest)).toEqual(classes);
  });
});

describe("the row table", () => {
  test("puts a sequence into the smallest class that fits and moves it up with its content", () => {
    const rows = table([8, 16, 32], 1000);
    expect(rows.ensure(1, 8, 0)).toBe(true);
    expect(rows.place(1)).toMatchObject({ sizeClass: 0, row: 0 });
    rows.takeActions();
    rows.advance(1, 8);
    expect(rows.ensure(1, 9, 8)).toBe(true);
    expect(rows.place(1)).toMatchObject({ sizeClass: 1, row: 0 });
    expect(rows.takeActions()).toEqual([
      { type: "resize", sizeClass: 1, rows: 2, length: 0 },
      { type: "copy", fromClass: 0, fromRow: 0, toClass: 1, toRow: 0, length: 8 },
      { type: "resize", sizeClass: 0, rows: 0, length: 0 },
    ] satisfies RowAction[]);
  });

  test("enlarges a class once for all that come together, and keeps what its rows hold", () => {
    const rows = table([8], 1000);
    for (const id of [1, 2, 3]) rows.ensure(id, 8, 0);
    expect(rows.takeActions()).toEqual([{ type: "resize", sizeClass: 0, rows: 4, length: 0 }] satisfies RowAction[]);
    rows.advance(1, 5);
    rows.advance(2, 3);
    for (const id of [4, 5, 6]) rows.ensure(id, 8, 0);
    expect(rows.takeActions()).toEqual([{ type: "resize", sizeClass: 0, rows: 8, length: 5 }] satisfies RowAction[]);
  });

  test("fills a hole with the last row, and only with its content", () => {
    const rows = table([8], 1000);
    for (const id of [1, 2, 3]) rows.ensure(id, 4, 0);
    rows.advance(3, 3);
    rows.takeActions();
    rows.remove(1);
    expect(rows.rowsOf(0)).toEqual([3, 2]);
    expect(rows.takeActions()).toEqual([{ type: "copy", fromClass: 0, fromRow: 2, toClass: 0, toRow: 0, length: 3 }]);
    rows.remove(2);
    expect(rows.takeActions()).toEqual([]);
    expect(rows.place(3)).toMatchObject({ sizeClass: 0, row: 0 });
    expect(rows.place(1)).toBeUndefined();
    rows.remove(1);
    rows.remove(3);
    expect(rows.bytes).toBe(0);
  });

  test("doubles while memory is ample, adds single rows when it is short, and stops at the budget", () => {
    const rows = table([8], 8 * 7);
    const bytes: number[] = [];
    for (let id = 1; id <= 8; id++) {
      expect(rows.ensure(id, 8, 0)).toBe(id <= 7);
      bytes.push(rows.bytes / 80);
    }
    expect(bytes).toEqual([2, 2, 4, 4, 5, 6, 7, 7]);
    expect(rows.place(8)).toBeUndefined();
  });

  test("gives back unused rows of other classes when the memory is short", () => {
    const rows = table([8, 32], 8 * 4 + 32);
    for (const id of [1, 2, 3]) expect(rows.ensure(id, 8, 0)).toBe(true);
    expect(rows.bytes).toBe(320);
    expect(rows.ensure(4, 20, 0)).toBe(true);
    rows.remove(1);
    expect(rows.bytes).toBe(80 * 4 + 320);
    rows.remove(4);
    expect(rows.ensure(5, 8, 0)).toBe(true);
    expect(rows.ensure(6, 8, 0)).toBe(true);
    rows.remove(5);
    rows.remove(6);
    // 2 of at least 4 small rows are in use: one large row fits when the others are given back.
    expect(rows.ensure(7, 32, 0)).toBe(true);
    expect(rows.ensure(8, 32, 0)).toBe(false);
    expect(rows.place(8)).toBeUndefined();
  });

  test("changes nothing when it refuses", () => {
    const rows = table([8, 16], 8 * 2 + 8);
    expect(rows.ensure(1, 8, 0)).toBe(true);
    rows.advance(1, 8);
    expect(rows.ensure(2, 8, 0)).toBe(true);
    rows.takeActions();
    const before = rows.bytes;
    expect(rows.ensure(1, 9, 8)).toBe(false);
    expect(rows.ensure(3, 17, 0)).toBe(false);
    expect(rows.takeActions()).toEqual([]);
    expect(rows.bytes).toBe(before);
    expect(rows.place(1)).toMatchObject({ sizeClass: 0, row: 0 });
  });

  test("knows what fits alone", () => {
    const rows = table([8, 16, 32], 20);
    expect([1, 8, 9, 16, 17, 33].map((n) => rows.fitsAlone(n))).toEqual([true, true, true, true, false, false]);
  });

  test("keeps the room of a class until another needs it or the class is empty", () => {
    const rows = table([1, 40], 64);
    for (let id = 1; id <= 32; id++) rows.ensure(id, 1, 0);
    const grown = rows.bytes;
    for (let id = 32; id >= 3; id--) rows.remove(id);
    expect(rows.bytes).toBe(grown);
    expect(rows.ensure(100, 40, 0)).toBe(true);
    expect(rows.bytes).toBe(420);
    for (const id of [1, 2, 100]) rows.remove(id);
    expect(rows.bytes).toBe(0);
  });
});

interface Model {
  id: number;
  /** Positions written. */
  length: number;
}

/** Random steps, as the engine takes them, against arrays that really hold content. */
function simulate(seed: number, capacities: readonly number[], budgetTokens: number, operations: number) {
  const random = new Prng(seed);
  const rows = table(capacities, budgetTokens);
  const tensors = new ImitationTensors(capacities);
  let live: Model[] = [];
  let nextId = 1;
  const counts = { refused: 0, moved: 0, removed: 0, copies: 0, resizes: 0 };
  const contentOf = ({ id }: Model) => (id % 1_000_000) * 1000;
  const checkAll = () => {
    const seen = new Set<string>();
    for (const model of live) {
      const { sizeClass, row } = rows.place(model.id)!;
      seen.add(`${sizeClass}/${row}`);
      tensors.check(sizeClass, row, model.length, contentOf(model));
    }
    expect(seen.size).toBe(live.length);
    capacities.forEach((_, c) => {
      rows.rowsOf(c).forEach((id, row) => {
        expect(rows.place(id)).toMatchObject({ sizeClass: c, row });
      });
    });
    expect(tensors.positions * 10).toBe(rows.bytes);
  };
  const most = capacities.at(-1)!;
  let crowd = 6;
  for (let done = 0; done < operations; ) {
    if (random.chance(0.01)) crowd = random.int(0, 24);
    const steps: { model: Model; count: number }[] = [];
    for (const model of live) {
      if (random.chance(0.3)) continue;
      const count = Math.min(random.chance(0.8) ? 1 : random.int(2, 9), most - model.length);
      const before = rows.place(model.id)!.sizeClass;
      done++;
      if (count > 0 && rows.ensure(model.id, model.length + count, model.length)) steps.push({ model, count });
      else counts.refused++;
      if (rows.place(model.id)!.sizeClass !== before) counts.moved++;
      if (rows.bytes > budgetTokens * 10) throw new Error("over the budget");
    }
    for (let joins = random.int(0, 2); live.length < crowd && joins > 0; joins--) {
      const model = { id: nextId++, length: 0 };
      const count = random.int(1, Math.ceil(most / 2));
      done++;
      if (rows.ensure(model.id, count + 1, 0)) {
        live.push(model);
        steps.push({ model, count });
      } else counts.refused++;
    }
    const leaving = live.filter((model) => model.length >= most || random.chance(live.length > crowd ? 0.3 : 0.04));
    for (const model of leaving) {
      // Before or after the step is planned, as preemption and cancellation do.
      rows.remove(model.id);
      done++;
      counts.removed++;
    }
    live = live.filter((model) => !leaving.includes(model));
    const planned = steps.filter(({ model }) => live.includes(model));
    for (const { model, count } of planned) rows.advance(model.id, model.length + count);
    tensors.apply(rows.takeActions());
    for (const { model, count } of planned) {
      const { sizeClass, row } = rows.place(model.id)!;
      for (let i = model.length; i < model.length + count; i++) tensors.write(sizeClass, row, i, contentOf(model) + i);
      model.length += count;
    }
    checkAll();
  }
  for (const { id } of live) rows.remove(id);
  tensors.apply(rows.takeActions());
  expect(rows.bytes).toBe(0);
  expect(tensors.positions).toBe(0);
  counts.copies = tensors.copies;
  counts.resizes = tensors.resizes;
  return counts;
}

describe("every row keeps its content", () => {
  const capacities = [4, 8, 16, 32, 64];
  const budgets: [name: string, capacities: number[], tokens: number, refusals: boolean][] = [
    ["ample memory", capacities, 100_000, false],
    ["memory for about half of them", capacities, 300, true],
    ["memory for two or three", capacities, 110, true],
    ["memory for one", capacities, 70, true],
    ["many small rows in little memory", [4, 6], 100, true],
  ];
  test.each(budgets)("with %s", (_name, classes, tokens, refusals) => {
    const counts = simulate(tokens, classes, tokens, 40_000);
    expect(counts.moved).toBeGreaterThan(tokens === 70 ? 10 : 500);
    expect(counts.removed).toBeGreaterThan(500);
    expect(counts.copies).toBeGreaterThan(200);
    expect(counts.refused > 1000).toBe(refusals);
  });
});

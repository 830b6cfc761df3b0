import { describe, expect, test } from "bun:test";
import { layOut } from "../../src/kv/layout.ts";
import { RowTable } from "../../src/kv/rows.ts";
import { Prng } from "../engine/prng.ts";

function place(lengths: readonly number[]): RowTable {
  const rows = new RowTable({ capacities: [8, 16, 32], rowBytes: (capacity) => capacity, budgetBytes: 10_000 });
  lengths.forEach((length, id) => {
    rows.ensure(id, length, 0);
  });
  return rows;
}

describe("the layout of a step", () => {
  test("puts each class together, single tokens by row before longer stretches", () => {
    const rows = place([8, 20, 8, 30, 8, 12]);
    const spans = [
      { sequence: 4, start: 5, count: 1, sample: true },
      { sequence: 1, start: 3, count: 7, sample: true },
      { sequence: 2, start: 0, count: 3, sample: false },
      { sequence: 0, start: 7, count: 1, sample: true },
      { sequence: 3, start: 29, count: 1, sample: true },
      { sequence: 5, start: 0, count: 12, sample: true },
    ];
    expect(layOut(spans, rows)).toEqual({
      tokenCount: 25,
      order: [3, 0, 2, 5, 4, 1],
      groups: [
        {
          sizeClass: 0,
          offset: 0,
          firstOutput: 0,
          count: 5,
          singles: [
            { row: 0, position: 7 },
            { row: 2, position: 5 },
          ],
          segments: [{ row: 1, start: 0, count: 3, offset: 2, output: null }],
        },
        {
          sizeClass: 1,
          offset: 5,
          firstOutput: 2,
          count: 12,
          singles: [],
          segments: [{ row: 0, start: 0, count: 12, offset: 5, output: 2 }],
        },
        {
          sizeClass: 2,
          offset: 17,
          firstOutput: 3,
          count: 8,
          singles: [{ row: 1, position: 29 }],
          segments: [{ row: 0, start: 3, count: 7, offset: 18, output: 4 }],
        },
      ],
      outputs: [0, 1, 16, 17, 24],
    });
  });

  test("has one output where none is wanted; a token without output is a stretch", () => {
    const spans = [
      { sequence: 0, start: 0, count: 1, sample: false },
      { sequence: 1, start: 3, count: 4, sample: false },
    ];
    const { groups, outputs } = layOut(spans, place([8, 8]));
    expect(outputs).toEqual([0]);
    expect(groups[0]!.singles).toEqual([]);
    expect(groups[0]!.segments.map(({ count, output }) => [count, output])).toEqual([
      [1, 0],
      [4, null],
    ]);
  });

  test("of nothing is empty", () => {
    expect(layOut([], place([]))).toEqual({ groups: [], order: [], tokenCount: 0, outputs: [] });
  });

  test("covers every token of random spans once, in the order that it tells", () => {
    const random = new Prng(5);
    for (let round = 0; round < 300; round++) {
      const lengths = Array.from({ length: random.int(1, 20) }, () => random.int(1, 32));
      const rows = place(lengths);
      const spans = lengths.flatMap((length, sequence) => {
        const start = random.int(0, length - 1);
        const count = random.chance(0.5) ? 1 : random.int(1, length - start);
        return random.chance(0.3) ? [] : [{ sequence, start, count, sample: random.chance(0.7) }];
      });
      const { groups, order, tokenCount, outputs } = layOut(spans, rows);
      expect(tokenCount).toBe(spans.reduce((sum, { count }) => sum + count, 0));
      expect(order.toSorted((a, b) => a - b)).toEqual(spans.map((_, i) => i));
      // Each group's stretches, as [row, start, count], must be those of the spans in the order told.
      const told = order.map((index) => spans[index]!);
      const laid = groups.flatMap((group) => {
        const rowsSeen = group.singles.map(({ row }) => row);
        expect(rowsSeen).toEqual(rowsSeen.toSorted((a, b) => a - b));
        expect(group.count).toBe(group.singles.length + group.segments.reduce((sum, { count }) => sum + count, 0));
        return [
          ...group.singles.map(({ row, position }, i) => [group.sizeClass, row, position, 1, group.offset + i]),
          ...group.segments.map(({ row, start, count, offset }) => [group.sizeClass, row, start, count, offset]),
        ];
      });
      let offset = 0;
      const expected = told.map(({ sequence, start, count }) => {
        const { sizeClass, row } = rows.place(sequence)!;
        offset += count;
        return [sizeClass, row, start, count, offset - count];
      });
      expect(laid).toEqual(expected);
      const sampled = told.flatMap(({ sample }, i) => (sample ? [expected[i]![4]! + told[i]!.count - 1] : []));
      if (sampled.length > 0) expect(outputs).toEqual(sampled);
      const placed = groups.flatMap(({ singles, segments, offset, firstOutput }) => [
        ...singles.map((_, i) => [firstOutput + i, offset + i]),
        ...segments.flatMap(({ output, offset, count }) => (output === null ? [] : [[output, offset + count - 1]])),
      ]);
      expect(placed).toEqual(outputs.map((token, output) => [output, token]));
    }
  });
});

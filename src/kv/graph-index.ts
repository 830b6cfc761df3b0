/** Index arrays that all layers of a step share for one size class, for attention as a graph. */
import { ints } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { type AttentionCache, firstSeen } from "./cache.ts";
import type { ClassGroup, Segment } from "./layout.ts";

export interface GroupIndex {
  group: ClassGroup;
  /** Where each token of the class is written: row and slot, int32 [count]. */
  rows: MxArray;
  slots: MxArray;
  singles: SinglesIndex | null;
  segments: SegmentIndex[];
}

export interface SinglesIndex {
  firstRow: number;
  rowCount: number;
  /** Slots that are read: of the longest row, rounded up so that few different shapes occur. */
  length: number;
  /** bool [rowCount, 1, 1, length] */
  mask: MxArray;
  /** Set when other rows lie between: which single each row's query is taken from, and back. */
  spread: MxArray | null;
  gather: MxArray | null;
}

export interface SegmentIndex {
  segment: Segment;
  length: number;
  /** bool [1, 1, count, length]; null: causal, the ends aligned. */
  mask: MxArray | null;
}

export function indexGroup(group: ClassGroup, spec: AttentionCache, slots: number): GroupIndex {
  const rows = new Int32Array(group.count);
  const places = new Int32Array(group.count);
  group.singles.forEach(({ row, position }, i) => {
    rows[i] = row;
    places[i] = position % slots;
  });
  for (const { row, start, count, offset } of group.segments) {
    for (let i = 0; i < count; i++) {
      rows[offset - group.offset + i] = row;
      places[offset - group.offset + i] = (start + i) % slots;
    }
  }
  return {
    group,
    rows: ints(rows),
    slots: ints(places),
    singles: group.singles.length > 0 ? indexSingles(group, spec, slots) : null,
    segments: group.segments.map((segment) => indexSegment(segment, spec, slots)),
  };
}

function indexSingles({ singles }: ClassGroup, spec: AttentionCache, slots: number): SinglesIndex {
  const firstRow = singles[0]!.row;
  const rowCount = singles.at(-1)!.row - firstRow + 1;
  const longest = singles.reduce((max, { position }) => Math.max(max, position + 1), 0);
  const length = Math.min(slots, Math.ceil(longest / 32) * 32);
  // A row without a token in this step sees one key; its result is not used.
  const lasts = new Int32Array(rowCount);
  const spread = new Int32Array(rowCount);
  const gather = new Int32Array(singles.length);
  singles.forEach(({ row, position }, i) => {
    lasts[row - firstRow] = position;
    spread[row - firstRow] = i;
    gather[i] = row - firstRow;
  });
  const dense = rowCount === singles.length;
  return {
    firstRow,
    rowCount,
    length,
    mask: maskSingles(lasts, length, spec, slots),
    spread: dense ? null : ints(spread),
    gather: dense ? null : ints(gather),
  };
}

function maskSingles(lasts: Int32Array, length: number, spec: AttentionCache, slots: number): MxArray {
  const column = (values: Int32Array) => ints(values, [values.length, 1, 1, 1]);
  if (spec.size === undefined) return mx.lessEqual(mx.arange(0, length), column(lasts));
  const positions = new Int32Array(lasts.length * length);
  lasts.forEach((last, row) => {
    positions.set(positionsOf(last, length, slots), row * length);
  });
  const first = lasts.map((last) => firstSeen(spec, last));
  return mx.greaterEqual(ints(positions, [lasts.length, 1, 1, length]), column(first));
}

function indexSegment(segment: Segment, spec: AttentionCache, slots: number): SegmentIndex {
  const { start, count } = segment;
  const length = Math.min(start + count, slots);
  if (spec.size === undefined) return { segment, length, mask: null };
  const own = Int32Array.from({ length: count }, (_, i) => start + i);
  const column = (values: Int32Array) => ints(values, [1, 1, count, 1]);
  const keys = ints(positionsOf(start + count - 1, length, slots));
  const mask = mx.logicalAnd(
    mx.lessEqual(keys, column(own)),
    mx.greaterEqual(keys, column(own.map((position) => firstSeen(spec, position)))),
  );
  return { segment, length, mask };
}

/** Position of what each slot holds when `last` was written last; negative: nothing. */
function positionsOf(last: number, length: number, slots: number): Int32Array {
  const newest = last % slots;
  return Int32Array.from({ length }, (_, slot) => last - newest + slot - (slot > newest ? slots : 0));
}

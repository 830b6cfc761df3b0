/** Attention over the pools as a graph of MLX's operations: what runs on a GPU. */
import { dimension, ints } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Attend, AttentionOptions, CacheLayerSpec, LayerPair } from "./cache.ts";
import type { ClassGroup, Layout, Segment } from "./layout.ts";

/** Index arrays that all layers of a step share for one class. */
interface GroupIndex {
  group: ClassGroup;
  rows: MxArray;
  positions: MxArray;
  singles: SinglesIndex | null;
}

interface SinglesIndex {
  firstRow: number;
  rowCount: number;
  /** Longest row, rounded up so that few different shapes occur. */
  length: number;
  /** bool [rowCount, 1, 1, length] */
  mask: MxArray;
  /** Set when other rows lie between: which single each row's query is taken from, and back. */
  spread: MxArray | null;
  gather: MxArray | null;
}

export function openGraphAttention(
  layout: Layout,
  layers: readonly CacheLayerSpec[],
  capacities: readonly number[],
  pair: (sizeClass: number, layer: number) => LayerPair,
): Attend {
  const indexes = layout.groups.map((group) => indexGroup(group, capacities[group.sizeClass]!));
  return (layer, q, k, v, options) => {
    const parts = indexes.flatMap((index) =>
      attendClass(pair(index.group.sizeClass, layer), layers[layer]!, index, { q, k, v }, options, layout.tokenCount),
    );
    return parts.length === 1 ? parts[0]! : mx.concatenate(parts, 0);
  };
}

function indexGroup(group: ClassGroup, capacity: number): GroupIndex {
  const rows = new Int32Array(group.count);
  const positions = new Int32Array(group.count);
  group.singles.forEach(({ row, position }, i) => {
    rows[i] = row;
    positions[i] = position;
  });
  for (const { row, start, count, offset } of group.segments) {
    for (let i = 0; i < count; i++) {
      rows[offset - group.offset + i] = row;
      positions[offset - group.offset + i] = start + i;
    }
  }
  return {
    group,
    rows: ints(rows),
    positions: ints(positions),
    singles: group.singles.length > 0 ? indexSingles(group, capacity) : null,
  };
}

function indexSingles({ singles }: ClassGroup, capacity: number): SinglesIndex {
  const firstRow = singles[0]!.row;
  const rowCount = singles.at(-1)!.row - firstRow + 1;
  const longest = singles.reduce((max, { position }) => Math.max(max, position + 1), 0);
  const length = Math.min(capacity, Math.ceil(longest / 32) * 32);
  // A row without a token in this step sees one key; its result is not used.
  const lengths = new Int32Array(rowCount).fill(1);
  const spread = new Int32Array(rowCount);
  const gather = new Int32Array(singles.length);
  singles.forEach(({ row, position }, i) => {
    lengths[row - firstRow] = position + 1;
    spread[row - firstRow] = i;
    gather[i] = row - firstRow;
  });
  const dense = rowCount === singles.length;
  return {
    firstRow,
    rowCount,
    length,
    mask: mx.less(mx.arange(0, length), ints(lengths, [rowCount, 1, 1, 1])),
    spread: dense ? null : ints(spread),
    gather: dense ? null : ints(gather),
  };
}

interface Projections {
  q: MxArray;
  k: MxArray;
  v: MxArray;
}

/** Results of one class in flat order. */
function attendClass(
  pair: LayerPair,
  spec: CacheLayerSpec,
  { group, rows, positions, singles }: GroupIndex,
  { q, k, v }: Projections,
  options: AttentionOptions,
  tokenCount: number,
): MxArray[] {
  const { kvHeads, headDim } = spec;
  const own = (x: MxArray) =>
    group.count === tokenCount ? x : mx.slice(x, [group.offset, 0, 0], [group.offset + group.count, kvHeads, headDim]);
  pair.k.update((owned) => mx.scatterPositions(owned, rows, positions, own(k)));
  pair.v.update((owned) => mx.scatterPositions(owned, rows, positions, own(v)));
  const parts = group.segments.map((segment) => attendSegment(pair, spec, segment, q, options));
  if (singles) parts.unshift(attendSingles(pair, spec, group, singles, q, options));
  return parts;
}

function attendSingles(
  { k, v }: LayerPair,
  { kvHeads, headDim }: CacheLayerSpec,
  group: ClassGroup,
  index: SinglesIndex,
  q: MxArray,
  { scale }: AttentionOptions,
): MxArray {
  const count = group.singles.length;
  const heads = dimension(q, 1);
  let queries = mx.slice(q, [group.offset, 0, 0], [group.offset + count, heads, headDim]);
  if (index.spread) queries = mx.take(queries, index.spread, 0);
  const start = [index.firstRow, 0, 0, 0];
  const stop = [index.firstRow + index.rowCount, kvHeads, index.length, headDim];
  const keys = mx.slice(k.array, start, stop);
  const values = mx.slice(v.array, start, stop);
  let out = mx.attention(mx.expandDims(queries, 2), keys, values, scale, false, index.mask, null);
  if (index.gather) out = mx.take(out, index.gather, 0);
  return mx.reshape(out, [count, heads * headDim]);
}

function attendSegment(
  { k, v }: LayerPair,
  { kvHeads, headDim }: CacheLayerSpec,
  { row, start, count, offset }: Segment,
  q: MxArray,
  { scale }: AttentionOptions,
): MxArray {
  const heads = dimension(q, 1);
  const queries = mx.slice(q, [offset, 0, 0], [offset + count, heads, headDim]);
  const own = (tensor: MxArray) => mx.slice(tensor, [row, 0, 0, 0], [row + 1, kvHeads, start + count, headDim]);
  const out = mx.attention(
    mx.expandDims(mx.transpose(queries, [1, 0, 2]), 0),
    own(k.array),
    own(v.array),
    scale,
    true,
    null,
    null,
  );
  return mx.reshape(mx.transpose(out, [0, 2, 1, 3]), [count, heads * headDim]);
}

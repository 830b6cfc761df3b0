/** Attention over the pools as a graph of MLX's operations: what runs on a GPU. */
import { StartupError } from "../errors.ts";
import { dimension, dtypeOf, ints } from "../mlx/array.ts";
import { softcap as capScores, times } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import {
  type Attend,
  type AttentionCache,
  type AttentionOptions,
  type CacheSpec,
  isState,
  type LayerPair,
  valueDimOf,
} from "./cache.ts";
import { type GroupIndex, indexGroup, type SegmentIndex, type SinglesIndex } from "./graph-index.ts";
import type { Layout } from "./layout.ts";
import { slotsOf } from "./row-size.ts";

interface Projections {
  q: MxArray;
  k: MxArray | null;
  v: MxArray | null;
}

/** One class of one cache in one step. */
interface ClassAttention {
  spec: AttentionCache;
  pair: LayerPair;
  index: GroupIndex;
  options: AttentionOptions;
}

export function openGraphAttention(
  layout: Layout,
  caches: readonly CacheSpec[],
  capacities: readonly number[],
  span: number,
  pair: (sizeClass: number, cache: number) => LayerPair,
): Attend {
  // Caches that see the same share their indexes.
  const indexes = new Map<string, GroupIndex[]>();
  const indexesOf = (spec: AttentionCache) => {
    const key = `${spec.kind === "latent" ? "full" : spec.kind} ${spec.size}`;
    const found = indexes.get(key);
    if (found) return found;
    const made = layout.groups.map((group) => indexGroup(group, spec, slotsOf(spec, capacities[group.sizeClass]!, span)!));
    indexes.set(key, made);
    return made;
  };
  const written = new Set<number>();
  return (cache, q, k, v, options) => {
    const spec = caches[cache]!;
    if (isState(spec)) throw new StartupError(`cache ${cache} holds a state, not keys`);
    // A second update would take the buffer from under what reads the first one.
    if (k !== null && written.has(cache)) throw new StartupError(`cache ${cache} is written twice in one step`);
    if (k !== null) written.add(cache);
    const parts = indexesOf(spec).flatMap((index) =>
      attendClass({ spec, pair: pair(index.group.sizeClass, cache), index, options }, { q, k, v }, layout.tokenCount),
    );
    return parts.length === 1 ? parts[0]! : mx.concatenate(parts, 0);
  };
}

/** Results of one class in flat order. */
function attendClass(attention: ClassAttention, { q, k, v }: Projections, tokenCount: number): MxArray[] {
  const { pair, index } = attention;
  const { group, rows, slots } = index;
  const own = (x: MxArray) =>
    group.count === tokenCount
      ? x
      : mx.slice(x, [group.offset, 0, 0], [group.offset + group.count, dimension(x, 1), dimension(x, 2)]);
  if (k !== null) pair.k.update((owned) => mx.scatterPositions(owned, rows, slots, own(k)));
  if (v !== null) pair.v?.update((owned) => mx.scatterPositions(owned, rows, slots, own(v)));
  const parts = index.segments.flatMap((segment) => attendSegment(attention, segment, q));
  if (index.singles) parts.unshift(attendSingles(attention, index.singles, q));
  return parts;
}

function attendSingles(attention: ClassAttention, index: SinglesIndex, q: MxArray): MxArray {
  const {
    index: { group },
    options,
  } = attention;
  const count = group.singles.length;
  let queries = queriesOf(q, options.ofOutputs ? group.firstOutput : group.offset, count);
  if (index.spread) queries = mx.take(queries, index.spread, 0);
  let out = attend(attention, mx.expandDims(queries, 2), [index.firstRow, index.rowCount], index.length, index.mask);
  if (index.gather) out = mx.take(out, index.gather, 0);
  return mx.reshape(out, [count, -1]);
}

/** Nothing where only outputs are asked for and none is in the segment. */
function attendSegment(attention: ClassAttention, { segment, length, mask }: SegmentIndex, q: MxArray): MxArray[] {
  const { row, count, offset, output } = segment;
  const { ofOutputs = false } = attention.options;
  if (ofOutputs && output === null) return [];
  const asked = ofOutputs ? 1 : count;
  const queries = queriesOf(q, ofOutputs ? output! : offset, asked);
  const lastMask = mask && (asked === count ? mask : mx.slice(mask, [0, 0, count - 1, 0], [1, 1, count, length]));
  const out = attend(attention, mx.expandDims(mx.transpose(queries, [1, 0, 2]), 0), [row, 1], length, lastMask);
  return [mx.reshape(mx.transpose(out, [0, 2, 1, 3]), [asked, -1])];
}

/** [count, heads, headDim] */
function queriesOf(q: MxArray, first: number, count: number): MxArray {
  return mx.slice(q, [first, 0, 0], [first + count, dimension(q, 1), dimension(q, 2)]);
}

/** q [rows, heads, T, headDim] over the first `length` slots of so many rows; without a mask causal, the ends aligned. */
function attend(
  { spec, pair, options }: ClassAttention,
  q: MxArray,
  [firstRow, rowCount]: [number, number],
  length: number,
  mask: MxArray | null,
): MxArray {
  const part = ({ array }: LayerPair["k"], dim: number) =>
    mx.slice(array, [firstRow, 0, 0, 0], [firstRow + rowCount, spec.kvHeads, length, dim]);
  const keys = part(pair.k, spec.headDim);
  const values = part(pair.v ?? pair.k, valueDimOf(spec));
  const { scale, softcap, sinks = null } = options;
  if (softcap === undefined) return mx.attention(q, keys, values, scale, mask === null, mask, sinks);
  if (sinks !== null) throw new StartupError("attention with both a soft cap and sinks is not known of any model");
  return attendCapped(q, keys, values, mask ?? causalMask(dimension(q, 2), length), scale, softcap);
}

/** MLX's own attention has no soft cap. */
function attendCapped(q: MxArray, k: MxArray, v: MxArray, mask: MxArray, scale: number, cap: number): MxArray {
  const [rows, heads, tokens, dim] = [0, 1, 2, 3].map((axis) => dimension(q, axis)) as [number, number, number, number];
  const kvHeads = dimension(k, 1);
  const grouped = mx.reshape(times(q, scale), [rows, kvHeads, heads / kvHeads, tokens, dim]);
  const scores = capScores(mx.matmul(grouped, mx.transpose(mx.expandDims(k, 2), [0, 1, 2, 4, 3])), cap);
  const hidden = mx.full([1], Number.NEGATIVE_INFINITY, dtypeOf(scores));
  const weights = mx.softmax(mx.where(mx.expandDims(mask, 2), scores, hidden), -1);
  return mx.reshape(mx.matmul(weights, mx.expandDims(v, 2)), [rows, heads, tokens, -1]);
}

/** bool [1, 1, tokens, length]: the last token sees all. */
function causalMask(tokens: number, length: number): MxArray {
  const ends = Int32Array.from({ length: tokens }, (_, i) => length - tokens + i);
  return mx.lessEqual(mx.arange(0, length), ints(ends, [1, 1, tokens, 1]));
}

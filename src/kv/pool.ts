/** The cache tensors of all layers, one pair per size class, and attention over them. */
import { dimension, ints } from "../mlx/array.ts";
import { type Dtype, dtypeBytes } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { AttentionOptions, CacheLayerSpec } from "./cache.ts";
import { InPlaceTensor } from "./in-place-tensor.ts";
import type { ClassGroup, Layout, Segment } from "./layout.ts";
import type { RowAction } from "./rows.ts";

interface LayerPair {
  k: InPlaceTensor;
  v: InPlaceTensor;
}

/** Bytes that one token takes in all layers. */
export function cacheBytesPerToken(layers: readonly CacheLayerSpec[], dtype: Dtype): number {
  return layers.reduce((sum, layer) => sum + 2 * layer.kvHeads * layer.headDim * dtypeBytes(dtype), 0);
}

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

export class KvPool {
  readonly #layers: readonly CacheLayerSpec[];
  readonly #capacities: readonly number[];
  readonly #dtype: Dtype;
  /** By class, then layer; empty while the class has no rows. */
  readonly #tensors: LayerPair[][];
  readonly #allocated: number[];
  /** Classes changed since the last step was submitted. */
  readonly #touched = new Set<number>();

  constructor(layers: readonly CacheLayerSpec[], capacities: readonly number[], dtype: Dtype) {
    this.#layers = layers;
    this.#capacities = capacities;
    this.#dtype = dtype;
    this.#tensors = capacities.map(() => []);
    this.#allocated = capacities.map(() => 0);
  }

  /** Carries out what the row table decided. To be called inside the step's scope, before anything attends. */
  apply(actions: readonly RowAction[]): void {
    for (const action of actions) {
      this.#touched.add(action.type === "resize" ? action.sizeClass : action.toClass);
      if (action.type === "resize") this.#resize(action.sizeClass, action.rows);
      else this.#copyRow(action);
    }
  }

  /** Everything that a step changed, to be computed with it. */
  changed(): MxArray[] {
    return [...this.#touched].flatMap((c) => this.#tensors[c]!.flatMap(({ k, v }) => [k.array, v.array]));
  }

  /** To be called when the step has been submitted. */
  settle(): void {
    this.#touched.clear();
    for (const pair of this.#tensors.flat()) {
      pair.k.settle();
      pair.v.settle();
    }
  }

  /** Drops all tensors. */
  free(): void {
    this.#capacities.forEach((_, sizeClass) => {
      this.#resize(sizeClass, 0);
    });
  }

  /** Prepares what every layer needs to attend in this step. */
  open(layout: Layout): (layer: number, q: MxArray, k: MxArray, v: MxArray, options: AttentionOptions) => MxArray {
    const indexes = layout.groups.map((group) => this.#index(group));
    for (const { sizeClass } of layout.groups) this.#touched.add(sizeClass);
    return (layer, q, k, v, options) => {
      const parts = indexes.flatMap((index) => this.#attendClass(index, layer, q, k, v, options, layout.tokenCount));
      return parts.length === 1 ? parts[0]! : mx.concatenate(parts, 0);
    };
  }

  #resize(sizeClass: number, rows: number): void {
    const old = this.#tensors[sizeClass]!;
    const kept = Math.min(rows, this.#allocated[sizeClass]!);
    const capacity = this.#capacities[sizeClass]!;
    const enlarge = (tensor: InPlaceTensor | undefined, { kvHeads, headDim }: CacheLayerSpec): InPlaceTensor => {
      const empty = mx.zeros([rows, kvHeads, capacity, headDim], this.#dtype);
      if (!tensor || kept === 0) return new InPlaceTensor(empty);
      const stop = [kept, kvHeads, capacity, headDim];
      const content = mx.slice(tensor.array, [0, 0, 0, 0], stop);
      return new InPlaceTensor(mx.sliceUpdate(empty, content, [0, 0, 0, 0], stop));
    };
    this.#tensors[sizeClass] =
      rows === 0 ? [] : this.#layers.map((spec, i) => ({ k: enlarge(old[i]?.k, spec), v: enlarge(old[i]?.v, spec) }));
    this.#allocated[sizeClass] = rows;
    for (const { k, v } of old) {
      k.free();
      v.free();
    }
  }

  #copyRow({ fromClass, fromRow, toClass, toRow, length }: Extract<RowAction, { type: "copy" }>): void {
    this.#layers.forEach(({ kvHeads, headDim }, i) => {
      for (const part of ["k", "v"] as const) {
        const content = this.#tensors[fromClass]![i]![part].copyOut([fromRow, 0, 0, 0], [fromRow + 1, kvHeads, length, headDim]);
        this.#tensors[toClass]![i]![part].update((owned) =>
          mx.sliceUpdate(owned, content, [toRow, 0, 0, 0], [toRow + 1, kvHeads, length, headDim]),
        );
      }
    });
  }

  #index(group: ClassGroup): GroupIndex {
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
      singles: group.singles.length > 0 ? this.#indexSingles(group) : null,
    };
  }

  #indexSingles({ singles, sizeClass }: ClassGroup): SinglesIndex {
    const firstRow = singles[0]!.row;
    const rowCount = singles.at(-1)!.row - firstRow + 1;
    const longest = singles.reduce((max, { position }) => Math.max(max, position + 1), 0);
    const length = Math.min(this.#capacities[sizeClass]!, Math.ceil(longest / 32) * 32);
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

  /** Results of one class in flat order. */
  #attendClass(
    { group, rows, positions, singles }: GroupIndex,
    layer: number,
    q: MxArray,
    k: MxArray,
    v: MxArray,
    options: AttentionOptions,
    tokenCount: number,
  ): MxArray[] {
    const { kvHeads, headDim } = this.#layers[layer]!;
    const pair = this.#tensors[group.sizeClass]![layer]!;
    const own = (x: MxArray) =>
      group.count === tokenCount ? x : mx.slice(x, [group.offset, 0, 0], [group.offset + group.count, kvHeads, headDim]);
    pair.k.update((owned) => mx.scatterPositions(owned, rows, positions, own(k)));
    pair.v.update((owned) => mx.scatterPositions(owned, rows, positions, own(v)));
    const parts = group.segments.map((segment) => this.#attendSegment(pair, layer, segment, q, options));
    if (singles) parts.unshift(this.#attendSingles(pair, layer, group, singles, q, options));
    return parts;
  }

  #attendSingles(
    { k, v }: LayerPair,
    layer: number,
    group: ClassGroup,
    index: SinglesIndex,
    q: MxArray,
    { scale }: AttentionOptions,
  ): MxArray {
    const { kvHeads, headDim } = this.#layers[layer]!;
    const count = group.singles.length;
    const heads = dimension(q, 1);
    let queries = mx.slice(q, [group.offset, 0, 0], [group.offset + count, heads, headDim]);
    if (index.spread) queries = mx.take(queries, index.spread, 0);
    const start = [index.firstRow, 0, 0, 0];
    const stop = [index.firstRow + index.rowCount, kvHeads, index.length, headDim];
    let out = mx.attention(
      mx.expandDims(queries, 2),
      mx.slice(k.array, start, stop),
      mx.slice(v.array, start, stop),
      scale,
      false,
      index.mask,
      null,
    );
    if (index.gather) out = mx.take(out, index.gather, 0);
    return mx.reshape(out, [count, heads * headDim]);
  }

  #attendSegment(
    { k, v }: LayerPair,
    layer: number,
    { row, start, count, offset }: Segment,
    q: MxArray,
    { scale }: AttentionOptions,
  ): MxArray {
    const { kvHeads, headDim } = this.#layers[layer]!;
    const heads = dimension(q, 1);
    const queries = mx.slice(q, [offset, 0, 0], [offset + count, heads, headDim]);
    const out = mx.attention(
      mx.expandDims(mx.transpose(queries, [1, 0, 2]), 0),
      mx.slice(k.array, [row, 0, 0, 0], [row + 1, kvHeads, start + count, headDim]),
      mx.slice(v.array, [row, 0, 0, 0], [row + 1, kvHeads, start + count, headDim]),
      scale,
      true,
      null,
      null,
    );
    return mx.reshape(mx.transpose(out, [0, 2, 1, 3]), [count, heads * headDim]);
  }
}

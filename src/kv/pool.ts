/** The cache tensors of all layers, one pair per size class. */
import { type Dtype, dtypeBytes } from "../mlx/dtype.ts";
import { currentDevice, type MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Attend, CacheLayerSpec, LayerPair } from "./cache.ts";
import { openGraphAttention } from "./graph-attention.ts";
import { InPlaceTensor } from "./in-place-tensor.ts";
import { openKernelAttention } from "./kernel-attention.ts";
import type { Layout } from "./layout.ts";
import type { RowAction } from "./rows.ts";

/** Bytes that one token takes in all layers. */
export function cacheBytesPerToken(layers: readonly CacheLayerSpec[], dtype: Dtype): number {
  return layers.reduce((sum, layer) => sum + 2 * layer.kvHeads * layer.headDim * dtypeBytes(dtype), 0);
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

  readonly #kernels: boolean;

  /** `kernels`: attention by our CPU primitive, by default wherever it can run; otherwise as a graph of MLX's operations. */
  constructor(
    layers: readonly CacheLayerSpec[],
    capacities: readonly number[],
    dtype: Dtype,
    kernels = currentDevice() === "cpu",
  ) {
    this.#layers = layers;
    this.#capacities = capacities;
    this.#dtype = dtype;
    this.#kernels = kernels;
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
  open(layout: Layout): Attend {
    for (const { sizeClass } of layout.groups) this.#touched.add(sizeClass);
    const pair = (sizeClass: number, layer: number) => this.#tensors[sizeClass]![layer]!;
    return this.#kernels ? openKernelAttention(layout, pair) : openGraphAttention(layout, this.#layers, this.#capacities, pair);
  }

  #resize(sizeClass: number, rows: number): void {
    const old = this.#tensors[sizeClass]!;
    const kept = Math.min(rows, this.#allocated[sizeClass]!);
    const capacity = this.#capacities[sizeClass]!;
    const enlarge = (tensor: InPlaceTensor | undefined, { kvHeads, headDim }: CacheLayerSpec): InPlaceTensor => {
      const shape = [rows, kvHeads, capacity, headDim];
      // Our primitive never reads what has not been written; MLX's attention does, behind its mask.
      const empty = this.#kernels ? mx.cpuEmpty(shape) : mx.zeros(shape, this.#dtype);
      if (!tensor || kept === 0) return new InPlaceTensor(empty);
      const stop = [kept, kvHeads, capacity, headDim];
      const content = mx.slice(tensor.array, [0, 0, 0, 0], stop);
      // An update of the whole would be the slice itself: a view of the old buffer, which would stay.
      if (kept === rows) return new InPlaceTensor(mx.clone(content));
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
}

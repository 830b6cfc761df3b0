/** The cache tensors of a model, by size class. */
import { DTYPES, type Dtype } from "../mlx/dtype.ts";
import { currentDevice, type MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { openGraphRows, openKernelRows, type RowContent } from "./blocks.ts";
import { type Attend, type CacheSpec, isState, type LayerPair, type Recurrence } from "./cache.ts";
import { openGraphAttention } from "./graph-attention.ts";
import { InPlaceTensor } from "./in-place-tensor.ts";
import { openKernelAttention } from "./kernel-attention.ts";
import type { Layout } from "./layout.ts";
import { openRecurrence } from "./recurrence.ts";
import { slotsOf, tensorShapes, WINDOW_SPAN } from "./row-size.ts";
import type { RowAction } from "./rows.ts";

export interface PoolOptions {
  /** Scans by our CPU primitives, by default wherever they can run; otherwise as a graph of MLX's operations. */
  kernels?: boolean;
  /** The most tokens of one sequence in a step, for models with windows. */
  span?: number;
  /** To how many rows a class may grow without being copied: addresses, not memory, are taken for them. As many as it has, by default. */
  room?: (sizeClass: number) => number;
}

/** What the caches do in one step. */
export interface OpenCaches {
  attend: Attend;
  recurrence: Recurrence;
}

type RowCopy = Extract<RowAction, { type: "copy" }>;

const arraysOf = (tensors: readonly InPlaceTensor[]) => tensors.map(({ array }) => array);

export class KvPool {
  readonly #caches: readonly CacheSpec[];
  readonly #capacities: readonly number[];
  readonly #dtype: Dtype;
  /** Whether our CPU primitives do the work. */
  readonly kernels: boolean;
  readonly #span: number;
  readonly #room: (sizeClass: number) => number;
  /** By class, then cache: keys and values, latent keys, or a state; empty while the class has no rows. */
  readonly #tensors: InPlaceTensor[][][];
  readonly #allocated: number[];
  /** Classes changed since the last step was submitted. */
  readonly #touched = new Set<number>();

  constructor(caches: readonly CacheSpec[], capacities: readonly number[], dtype: Dtype, options: PoolOptions = {}) {
    this.#caches = caches;
    this.#capacities = capacities;
    this.#dtype = dtype;
    this.kernels = options.kernels ?? currentDevice() === "cpu";
    this.#span = options.span ?? WINDOW_SPAN;
    this.#room = options.room ?? (() => 0);
    this.#tensors = capacities.map(() => []);
    this.#allocated = capacities.map(() => 0);
  }

  /** Carries out what the row table decided. To be called inside the step's scope, before anything attends. */
  apply(actions: readonly RowAction[]): void {
    for (const action of actions) {
      this.#touched.add(action.type === "resize" ? action.sizeClass : action.toClass);
      if (action.type === "resize") this.#resize(action.sizeClass, action.rows, action.length);
      else if (this.kernels) this.#copyRowInPlace(action);
      else this.#copyRow(action);
    }
  }

  /** Everything that a step changed, to be computed with it. */
  changed(): MxArray[] {
    return [...this.#touched].flatMap((sizeClass) => this.#tensors[sizeClass]!.flat().map(({ array }) => array));
  }

  /** To be called when the step has been submitted. */
  settle(): void {
    this.#touched.clear();
    for (const tensor of this.#tensors.flat(2)) tensor.settle();
  }

  /** Drops all tensors. */
  free(): void {
    this.#capacities.forEach((_, sizeClass) => {
      this.#resize(sizeClass, 0, 0);
    });
  }

  /** Prepares what the layers need in this step. */
  open(layout: Layout): OpenCaches {
    for (const { sizeClass } of layout.groups) this.#touched.add(sizeClass);
    const pair = (sizeClass: number, cache: number): LayerPair => {
      const [k, v = null] = this.#tensors[sizeClass]![cache]!;
      return { k: k!, v };
    };
    const state = (sizeClass: number, cache: number) => this.#tensors[sizeClass]![cache]![0]!;
    const attend = this.kernels
      ? openKernelAttention(layout, this.#caches, pair)
      : openGraphAttention(layout, this.#caches, this.#capacities, this.#span, pair);
    return { attend, recurrence: openRecurrence(layout, state, this.kernels) };
  }

  /** The content of the rows of a class. */
  rows(sizeClass: number): RowContent {
    this.#touched.add(sizeClass);
    const ofKind = (states: boolean) => this.#tensors[sizeClass]!.filter((_, i) => isState(this.#caches[i]!) === states).flat();
    const tensors = { tokens: ofKind(false), states: ofKind(true) };
    return this.kernels ? openKernelRows(tensors) : openGraphRows(tensors);
  }

  #resize(sizeClass: number, rows: number, length: number): void {
    const old = this.#tensors[sizeClass]!;
    const kept = Math.min(rows, this.#allocated[sizeClass]!);
    const room = this.#room(sizeClass);
    if (this.kernels && kept > 0 && rows > kept) {
      for (const tensor of old.flat()) tensor.update((owned) => mx.cpuMoreRows(owned, rows, room));
      this.#allocated[sizeClass] = rows;
      return;
    }
    const enlarge = (tensor: InPlaceTensor | undefined, spec: CacheSpec, shape: readonly number[]): InPlaceTensor => {
      // Our primitives never read what has not been written; MLX's attention does, behind its mask.
      const empty = this.kernels ? mx.cpuEmptyRows(shape, room) : mx.zeros(shape, isState(spec) ? DTYPES.float32 : this.#dtype);
      if (!tensor || kept === 0 || length === 0) return new InPlaceTensor(empty);
      const start = shape.map(() => 0);
      const stop = [kept, ...this.#used(spec, sizeClass, length, shape)];
      const content = mx.slice(tensor.array, start, stop);
      // An update of the whole would be the slice itself: a view of the old buffer, which would stay.
      if (stop.every((size, axis) => size === shape[axis])) return new InPlaceTensor(mx.clone(content));
      return new InPlaceTensor(mx.sliceUpdate(empty, content, start, stop));
    };
    const make = (spec: CacheSpec, cache: number) =>
      tensorShapes(spec, rows, this.#capacities[sizeClass]!, this.#span).map((shape, part) =>
        enlarge(old[cache]?.[part], spec, shape),
      );
    this.#tensors[sizeClass] = rows === 0 ? [] : this.#caches.map(make);
    this.#allocated[sizeClass] = rows;
    for (const tensor of old.flat()) tensor.free();
  }

  #copyRowInPlace({ fromClass, fromRow, toClass, toRow, length }: RowCopy): void {
    const from = this.#tensors[fromClass]!.flat();
    const to = this.#tensors[toClass]!.flat();
    const slots = this.#caches.flatMap((spec) =>
      tensorShapes(spec, 1, this.#capacities[fromClass]!, this.#span).map((shape) =>
        isState(spec) ? -1 : this.#used(spec, fromClass, length, shape)[1]!,
      ),
    );
    const done = mx.cpuCopyRow(arraysOf(from), arraysOf(to), fromRow, toRow, slots);
    this.#touched.add(fromClass);
    for (const tensor of new Set([...from, ...to])) tensor.follow(done);
  }

  #copyRow({ fromClass, fromRow, toClass, toRow, length }: RowCopy): void {
    this.#caches.forEach((spec, cache) => {
      // A ring of another size is never copied round its end: rows move up before their ring is full, or keep its size.
      tensorShapes(spec, 1, this.#capacities[fromClass]!, this.#span).forEach((shape, part) => {
        const size = this.#used(spec, fromClass, length, shape);
        const zeros = size.map(() => 0);
        const content = this.#tensors[fromClass]![cache]![part]!.copyOut([fromRow, ...zeros], [fromRow + 1, ...size]);
        this.#tensors[toClass]![cache]![part]!.update((owned) =>
          mx.sliceUpdate(owned, content, [toRow, ...zeros], [toRow + 1, ...size]),
        );
      });
    });
  }

  /** Sizes of what `length` positions take of a row of a tensor of this shape. */
  #used(spec: CacheSpec, sizeClass: number, length: number, shape: readonly number[]): number[] {
    const slots = slotsOf(spec, this.#capacities[sizeClass]!, this.#span);
    return slots === null ? shape.slice(1) : [shape[1]!, Math.min(length, slots), shape[3]!];
  }
}

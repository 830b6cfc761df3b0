/** Content of a cache row as arrays of its own, out and back in: what a prefix cache keeps. */
import { dimension, ints, shapeOf } from "../mlx/array.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { InPlaceTensor } from "./in-place-tensor.ts";

/** Copies between rows and blocks. What it builds must be computed before the step that writes to or reads from the row. */
export interface RowContent {
  /** Tokens [start, start + count) of all attention caches: [count, numbers of a token]. A ring must still hold them, and unbroken. */
  exportTokens(row: number, start: number, count: number): MxArray;
  /** Writes such blocks one after the other. Returns what must be computed. */
  importTokens(row: number, start: number, blocks: readonly MxArray[]): MxArray[];
  /** The recurrent states, flat. */
  exportState(row: number): MxArray;
  importState(row: number, state: MxArray): MxArray[];
}

/** Tensors of one size class: attention caches [rows, heads, slots, dim] and states [rows, ...]. */
export interface ClassTensors {
  tokens: readonly InPlaceTensor[];
  states: readonly InPlaceTensor[];
}

const arraysOf = (tensors: readonly InPlaceTensor[]) => tensors.map(({ array }) => array);

/** By our CPU primitives, which change the tensors in place. */
export function openKernelRows({ tokens, states }: ClassTensors): RowContent {
  return {
    exportTokens: (row, start, count) => mx.cpuExportTokens(arraysOf(tokens), row, start, count),
    importTokens: (row, start, blocks) => [mx.cpuImportTokens(arraysOf(tokens), blocks as MxArray[], row, start)],
    exportState: (row) => mx.cpuExportState(arraysOf(states), row),
    importState: (row, state) => [mx.cpuImportState(arraysOf(states), state, row)],
  };
}

/** As a graph of MLX's operations. */
export function openGraphRows({ tokens, states }: ClassTensors): RowContent {
  return {
    exportTokens(row, start, count) {
      const parts = tokens.map((tensor) => {
        const [heads, slots, dim] = [1, 2, 3].map((axis) => dimension(tensor.array, axis)) as [number, number, number];
        const slot = start % slots;
        const own = tensor.copyOut([row, 0, slot, 0], [row + 1, heads, slot + count, dim]);
        return mx.reshape(mx.transpose(own, [0, 2, 1, 3]), [count, heads * dim]);
      });
      return mx.contiguous(mx.concatenate(parts, 1));
    },
    importTokens(row, start, blocks) {
      const all = mx.concatenate(blocks as MxArray[], 0);
      const count = dimension(all, 0);
      let column = 0;
      return tokens.map((tensor) => {
        const [heads, slots, dim] = [1, 2, 3].map((axis) => dimension(tensor.array, axis)) as [number, number, number];
        const kept = Math.min(count, slots);
        const own = mx.slice(all, [count - kept, column], [count, column + heads * dim]);
        column += heads * dim;
        const places = Int32Array.from({ length: kept }, (_, i) => (start + count - kept + i) % slots);
        tensor.update((owned) =>
          mx.scatterPositions(owned, ints(new Int32Array(kept).fill(row)), ints(places), mx.reshape(own, [kept, heads, dim])),
        );
        return tensor.array;
      });
    },
    exportState(row) {
      const parts = states.map((tensor) => {
        const shape = restOf(tensor);
        return mx.reshape(tensor.copyOut([row, ...shape.map(() => 0)], [row + 1, ...shape]), [-1]);
      });
      return mx.contiguous(mx.concatenate(parts, 0));
    },
    importState(row, state) {
      let at = 0;
      return states.map((tensor) => {
        const shape = restOf(tensor);
        const size = shape.reduce((a, b) => a * b, 1);
        const own = mx.reshape(mx.slice(state, [at], [at + size]), [1, ...shape]);
        at += size;
        const zeros = shape.map(() => 0);
        tensor.update((owned) => mx.sliceUpdate(owned, own, [row, ...zeros], [row + 1, ...shape]));
        return tensor.array;
      });
    },
  };
}

/** Shape of a row. */
function restOf({ array }: InPlaceTensor): number[] {
  return shapeOf(array).slice(1);
}

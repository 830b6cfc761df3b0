/** Scans as a graph of MLX's operations: what runs on a GPU. */
import { dimension, dtypeOf, ints, shapeOf } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Recurrence } from "./cache.ts";
import { deltaScan } from "./graph-delta.ts";
import { stateSpaceScan } from "./graph-state-space.ts";
import type { ClassGroup, Layout } from "./layout.ts";
import { type Part, type Scan, type StateOf, takePart } from "./scan.ts";

interface GroupIndex {
  sizeClass: number;
  /** int32 [n], the state row of every row of the parts. */
  rows: MxArray;
  /** bool [n], where something was before; null: everywhere. */
  old: MxArray | null;
  parts: Part[];
}

export function openGraphRecurrence(layout: Layout, state: StateOf): Recurrence {
  const indexes = layout.groups.map(indexGroup);
  const scanAll = (cache: number, scan: Scan): MxArray => {
    const parts = indexes.flatMap((index) => scanGroup(index, state(index.sizeClass, cache), scan));
    return parts.length === 1 ? parts[0]! : mx.concatenate(parts, 0);
  };
  const inFloat32 = (x: MxArray, scan: (x: MxArray) => MxArray) => mx.astype(scan(mx.astype(x, DTYPES.float32)), dtypeOf(x));
  return {
    convolve: (cache, x, weight, options) => inFloat32(x, (inputs) => scanAll(cache, convolutionScan(inputs, weight, options))),
    gatedDelta: (cache, x, gates) => inFloat32(x, (inputs) => scanAll(cache, deltaScan(inputs, gates))),
    stateSpace: (cache, x, steps) => inFloat32(x, (inputs) => scanAll(cache, stateSpaceScan(inputs, steps))),
  };
}

/** Single tokens of a class are one part, every segment is one. */
function indexGroup({ sizeClass, singles, segments, offset }: ClassGroup): GroupIndex {
  const starts = [...singles.map(({ position }) => position), ...segments.map(({ start }) => start)];
  const parts = segments.map((segment) => ({ from: segment.offset, rows: 1, tokens: segment.count }));
  if (singles.length > 0) parts.unshift({ from: offset, rows: singles.length, tokens: 1 });
  const flags = ints(starts.map((start) => Math.min(start, 1)));
  return {
    sizeClass,
    rows: ints([...singles, ...segments].map(({ row }) => row)),
    old: starts.includes(0) ? mx.greater(flags, ints([0])) : null,
    parts,
  };
}

function scanGroup({ rows, old, parts }: GroupIndex, tensor: ReturnType<StateOf>, scan: Scan): MxArray[] {
  let states = tensor.gather(rows);
  const [count = 0, ...shape] = shapeOf(states);
  if (old !== null) {
    const found = mx.reshape(old, [count, ...shape.map(() => 1)]);
    states = mx.where(found, states, mx.zeros([1], DTYPES.float32));
  }
  let first = 0;
  const results = parts.map((part) => {
    const zeros = shape.map(() => 0);
    const own = parts.length === 1 ? states : mx.slice(states, [first, ...zeros], [first + part.rows, ...shape]);
    first += part.rows;
    return scan(part, own);
  });
  const next =
    results.length === 1
      ? results[0]!.states
      : mx.concatenate(
          results.map((result) => result.states),
          0,
        );
  tensor.update((owned) => mx.scatterRows(owned, rows, next));
  return results.map(({ y }) => y);
}

function convolutionScan(x: MxArray, weight: MxArray, { bias, silu }: Parameters<Recurrence["convolve"]>[3]): Scan {
  const channels = dimension(x, 1);
  const kernel = mx.expandDims(mx.transpose(mx.astype(weight, DTYPES.float32), [1, 0]), 2);
  return (part, before) => {
    const all = mx.concatenate([before, takePart(x, part)], 1);
    let y = mx.reshape(mx.conv1d(all, kernel, channels), [part.rows * part.tokens, channels]);
    if (bias !== null) y = mx.add(y, mx.astype(bias, DTYPES.float32));
    if (silu) y = mx.multiply(y, mx.sigmoid(y));
    const end = dimension(all, 1);
    return { y, states: mx.slice(all, [0, part.tokens, 0], [part.rows, end, channels]) };
  };
}

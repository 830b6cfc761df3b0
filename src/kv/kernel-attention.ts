/** Attention over the pools by our CPU primitive: all stretches of a step and the cache's update in one operation per layer. */
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { Attend, LayerPair } from "./cache.ts";
import type { Layout } from "./layout.ts";

export function openKernelAttention(layout: Layout, pair: (sizeClass: number, layer: number) => LayerPair): Attend {
  const plan: number[] = [];
  layout.groups.forEach(({ singles, segments, offset }, index) => {
    singles.forEach(({ row, position }, i) => {
      plan.push(index, row, position, 1, offset + i);
    });
    for (const segment of segments) plan.push(index, segment.row, segment.start, segment.count, segment.offset);
  });
  const stretches = Int32Array.from(plan);
  return (layer, q, k, v, { scale }) => {
    const caches: MxArray[] = layout.groups.flatMap(({ sizeClass }) => {
      const tensors = pair(sizeClass, layer);
      return [tensors.k.array, tensors.v.array];
    });
    return mx.cpuAttend(q, k, v, caches, stretches, scale);
  };
}

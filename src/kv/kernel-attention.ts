/** Attention over the pools by our CPU primitive: all stretches of a step and the cache's update in one operation per layer. */
import { StartupError } from "../errors.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { type Attend, type CacheSpec, isState, type LayerPair, valueDimOf } from "./cache.ts";
import type { Layout } from "./layout.ts";

/** [group, row, start, count, offset] of every stretch of a sequence, as our primitives take it. */
export function stretchesOf(layout: Layout): Int32Array {
  const plan: number[] = [];
  layout.groups.forEach(({ singles, segments, offset }, index) => {
    singles.forEach(({ row, position }, i) => {
      plan.push(index, row, position, 1, offset + i);
    });
    for (const segment of segments) plan.push(index, segment.row, segment.start, segment.count, segment.offset);
  });
  return Int32Array.from(plan);
}

/** [how many, from which row of q on] of each stretch's last tokens attend, when q has the outputs only. */
function askedOf(layout: Layout): Int32Array {
  const asked: number[] = [];
  for (const { singles, segments, firstOutput } of layout.groups) {
    for (let i = 0; i < singles.length; i++) asked.push(1, firstOutput + i);
    for (const { output } of segments) asked.push(output === null ? 0 : 1, output ?? 0);
  }
  return Int32Array.from(asked);
}

export function openKernelAttention(
  layout: Layout,
  caches: readonly CacheSpec[],
  pair: (sizeClass: number, cache: number) => LayerPair,
): Attend {
  const stretches = stretchesOf(layout);
  // Made by the first layer that asks for outputs only.
  let outputs: Int32Array | null = null;
  return (cache, q, k, v, { scale, softcap = 0, sinks = null, ofOutputs = false }) => {
    const spec = caches[cache]!;
    if (isState(spec)) throw new StartupError(`cache ${cache} holds a state, not keys`);
    const tensors: MxArray[] = layout.groups.flatMap(({ sizeClass }) => {
      const { k: keys, v: values } = pair(sizeClass, cache);
      return values === null ? [keys.array] : [keys.array, values.array];
    });
    const window = spec.kind === "window" ? spec.size! : 0;
    const chunk = spec.kind === "chunk" ? spec.size! : 0;
    if (ofOutputs) outputs ??= askedOf(layout);
    const asked = ofOutputs ? outputs! : [];
    return mx.cpuAttend(q, k, v, sinks, tensors, stretches, asked, valueDimOf(spec), window, chunk, scale, softcap);
  };
}

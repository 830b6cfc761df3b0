/** Scans by our CPU primitives: all stretches of a step and the update of their states in one operation per layer. */
import * as mx from "../mlx/ops.ts";
import type { Recurrence } from "./cache.ts";
import { stretchesOf } from "./kernel-attention.ts";
import type { Layout } from "./layout.ts";
import type { StateOf } from "./scan.ts";

export function openKernelRecurrence(layout: Layout, state: StateOf): Recurrence {
  const plan = stretchesOf(layout);
  const states = (cache: number) => layout.groups.map(({ sizeClass }) => state(sizeClass, cache).array);
  return {
    convolve: (cache, x, weight, { bias, silu }) => mx.cpuConvolve(x, weight, bias, states(cache), plan, silu),
    gatedDelta: (cache, x, { a, b, decay, bias, keyHeads }) =>
      mx.cpuGatedDelta(x, a, b, decay, bias, states(cache), plan, keyHeads),
    stateSpace: (cache, x, { dt, bias, decay, skip, limits: [low, high] }) =>
      mx.cpuStateSpace(x, dt, bias, decay, skip, states(cache), plan, low, high),
  };
}

/** Scans of recurrent layers over the state tensors. */
import type { Recurrence } from "./cache.ts";
import { openGraphRecurrence } from "./graph-recurrence.ts";
import { openKernelRecurrence } from "./kernel-recurrence.ts";
import type { Layout } from "./layout.ts";
import type { StateOf } from "./scan.ts";

/** `kernels`: by our CPU primitives; otherwise as a graph of MLX's operations. */
export function openRecurrence(layout: Layout, state: StateOf, kernels: boolean): Recurrence {
  return kernels ? openKernelRecurrence(layout, state) : openGraphRecurrence(layout, state);
}

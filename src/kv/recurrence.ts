/** Scans of recurrent layers over the state tensors. */
import type { Recurrence } from "./cache.ts";
import type { InPlaceTensor } from "./in-place-tensor.ts";
import type { Layout } from "./layout.ts";

export function openRecurrence(
  _layout: Layout,
  _state: (sizeClass: number, cache: number) => InPlaceTensor,
  _kernels: boolean,
): Recurrence {
  const refuse = () => {
    throw new Error("recurrent layers are being written");
  };
  return { convolve: refuse, gatedDelta: refuse, stateSpace: refuse };
}

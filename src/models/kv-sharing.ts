/** Layers that read the keys and values of an earlier layer instead of having their own (Gemma 3n and 4). */
import { StartupError } from "../errors.ts";
import type { TensorSet } from "./tensor-set.ts";

/**
 * For each layer the one whose cache it reads: from the layer `first` on the last of the same kind before `first`, till then itself.
 * Throws `StartupError` when there is none.
 */
export function cacheOwners(kinds: readonly string[], first: number): number[] {
  return kinds.map((kind, layer) => {
    if (layer < first) return layer;
    const owner = kinds.slice(0, first).lastIndexOf(kind);
    if (owner < 0) throw new StartupError(`config.json: layer ${layer} has no ${kind} layer to share keys and values with`);
    return owner;
  });
}

/** Checkpoints hold unused projections for such layers. */
export function dropSharedKeys(tensors: TensorSet, first: number): void {
  tensors.rename((name) => {
    const layer = name.match(/\.layers\.(\d+)\.self_attn\.(?:k_proj|v_proj|k_norm)\./)?.[1];
    return layer !== undefined && Number(layer) >= first ? null : name;
  });
}

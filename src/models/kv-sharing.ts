/** Layers that read the keys and values of an earlier layer instead of having their own (Gemma 3n and 4). */
import { StartupError } from "../errors.ts";
import { type Batch, narrowToOutputs } from "../kv/cache.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
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

interface SharingLayer {
  forward(x: MxArray, input: MxArray | undefined, batch: Batch): MxArray;
}

/**
 * x [T, ...] through all layers to [outputs, ...]; `inputs`: what else a layer gets, [T, ...]. Those from `first` on write no cache:
 * they compute the outputs only.
 */
export function forwardSharing(
  layers: readonly SharingLayer[],
  first: number,
  x: MxArray,
  inputs: readonly MxArray[] | undefined,
  batch: Batch,
): MxArray {
  const { outputs } = batch;
  const take = (array: MxArray) => (outputs === null ? array : mx.take(array, outputs, 0));
  const writing = layers.slice(0, first).reduce((h, layer, i) => layer.forward(h, inputs?.[i], batch), x);
  const narrow = narrowToOutputs(batch);
  const rest = inputs?.slice(first).map(take);
  return layers.slice(first).reduce((h, layer, i) => layer.forward(h, rest?.[i], narrow), take(writing));
}

/** Checkpoints hold unused projections for such layers. */
export function dropSharedKeys(tensors: TensorSet, first: number): void {
  tensors.rename((name) => {
    const layer = name.match(/\.layers\.(\d+)\.self_attn\.(?:k_proj|v_proj|k_norm)\./)?.[1];
    return layer !== undefined && Number(layer) >= first ? null : name;
  });
}

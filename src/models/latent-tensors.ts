/** Checkpoints that hold the matrix of all heads' keys and values, kv_b_proj: it is cut into what latent attention applies. */
import { dimension, dtypeOf } from "../mlx/array.ts";
import { QUANTIZATION_MODES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { DerivedTensor, TensorSet } from "./tensor-set.ts";

export interface LatentShape {
  heads: number;
  rank: number;
  plainDim: number;
  valueDim: number;
}

/**
 * `kv_b_proj` [heads (plainDim + valueDim), rank] to `embed_q` [heads, rank, plainDim] and `unembed_out` [heads, valueDim, rank]. A
 * quantized one becomes dense: its groups lie across the new matrices (mlx-lm quantizes these once more, and loses digits).
 */
export function splitLatentProjections(tensors: TensorSet, shape: LatentShape): void {
  const { heads, rank, plainDim, valueDim } = shape;
  const derived = tensors
    .names()
    .filter((name) => name.endsWith(".kv_b_proj.weight"))
    .flatMap((name): DerivedTensor[] => {
      const prefix = name.slice(0, -".kv_b_proj.weight".length);
      const quantized = ["weight", "scales", "biases"].map((part) => `${prefix}.kv_b_proj.${part}`);
      const scales = tensors.get(quantized[1]!);
      const from = scales ? quantized : [name];
      // Each head has the rows of its keys, then those of its values.
      const read = (parts: readonly MxArray[]) =>
        mx.reshape(scales ? dequantize(parts, rank, scales.shape.at(-1) ?? 1) : parts[0]!, [heads, plainDim + valueDim, rank]);
      const dtype = scales && { dtype: scales.dtype };
      return [
        {
          ...dtype,
          name: `${prefix}.embed_q.weight`,
          shape: [heads, rank, plainDim],
          from,
          compute: (parts) => mx.transpose(mx.slice(read(parts), [0, 0, 0], [heads, plainDim, rank]), [0, 2, 1]),
        },
        {
          ...dtype,
          name: `${prefix}.unembed_out.weight`,
          shape: [heads, valueDim, rank],
          from,
          compute: (parts) => mx.slice(read(parts), [0, plainDim, 0], [heads, plainDim + valueDim, rank]),
        },
      ];
    });
  tensors.derive(derived);
}

function dequantize([weight, scales, biases]: readonly MxArray[], rank: number, groups: number): MxArray {
  const bits = (dimension(weight!, 1) * 32) / rank;
  return mx.dequantize(weight!, scales!, biases!, rank / groups, bits, QUANTIZATION_MODES.affine, dtypeOf(scales!));
}

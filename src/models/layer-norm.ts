import { dtypeOf, scalar } from "../mlx/array.ts";
import * as mx from "../mlx/ops.ts";
import { LayerNorm } from "../nn/norm.ts";
import type { Weights } from "./weights.ts";

export interface LayerNormSpec {
  dim: number;
  eps: number;
  bias: boolean;
  /** Added to the weight when it is loaded. */
  offset?: number;
}

/** Declares a layer norm under the usual names, `weight` and `bias`. */
export function layerNorm(weights: Weights, prefix: string, { dim, eps, bias, offset = 0 }: LayerNormSpec): LayerNorm {
  const weight = weights.tensor(
    `${prefix}.weight`,
    [dim],
    offset === 0 ? undefined : (w) => mx.add(w, mx.astype(scalar(offset), dtypeOf(w))),
  );
  return new LayerNorm(weight, bias ? weights.tensor(`${prefix}.bias`, [dim]) : null, eps);
}

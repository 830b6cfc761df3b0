/** Alternating updates of Gemma 3n: several residual streams, of which each layer computes one and predicts the others. */
import { dimension, dtypeOf, floats } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import { times } from "../mlx/fast.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { AdapterChoice, Linear } from "../nn/linear.ts";
import type { RmsNorm } from "../nn/norm.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { Weights } from "./weights.ts";

export interface AltUpSpec {
  hiddenSize: number;
  normEps: number;
  /** Number of streams. */
  streams: number;
  /** The one that the layers compute. */
  active: number;
  /** The coefficients' matrices are held within it; null: as they are. */
  coefficientClip: number | null;
}

/** One of the streams x [T, streams, hidden], as [T, hidden]. */
export function streamOf(x: MxArray, index: number): MxArray {
  return mx.squeeze(mx.slice(x, [0, index, 0], [dimension(x, 0), index + 1, dimension(x, 2)]), 1);
}

export class AltUp {
  readonly correct_output_scale: Parameter;
  /** [streams, streams], transposed */
  readonly correction_coefs: Parameter;
  /** [streams, streams * streams], transposed */
  readonly prediction_coefs: Parameter;
  readonly modality_router: Linear;
  readonly router_norm: RmsNorm;
  readonly #spec: AltUpSpec;

  constructor(spec: AltUpSpec, weights: Weights, prefix: string) {
    const { hiddenSize, streams, normEps, coefficientClip } = spec;
    const coefficients = (name: string, rows: number) =>
      weights.tensor(`${prefix}.${name}.weight`, [rows, streams], (stored) => {
        const weight = mx.transpose(mx.astype(stored, DTYPES.float32), [1, 0]);
        if (coefficientClip === null) return weight;
        return mx.maximum(mx.minimum(weight, floats([coefficientClip])), floats([-coefficientClip]));
      });
    this.correct_output_scale = weights.tensor(`${prefix}.correct_output_scale`, [hiddenSize]);
    this.correction_coefs = coefficients("correction_coefs", streams);
    this.prediction_coefs = coefficients("prediction_coefs", streams * streams);
    this.modality_router = weights.linear(`${prefix}.modality_router`, hiddenSize, streams, false);
    // The router's input is divided by the hidden size.
    this.router_norm = weights.norm(`${prefix}.router_norm`, hiddenSize, normEps, (weight) => times(weight, 1 / hiddenSize));
    this.#spec = spec;
  }

  /** x [T, streams, hidden] to what the layer is expected to make of it. */
  predict(x: MxArray, batch: AdapterChoice): MxArray {
    const { streams, active } = this.#spec;
    const modalities = this.#modalities(streamOf(x, active), batch);
    const mix = mx.reshape(mx.matmul(modalities, this.prediction_coefs.array), [-1, streams, streams]);
    const exact = mx.astype(x, DTYPES.float32);
    return mx.astype(mx.add(mx.matmul(mix, exact), exact), dtypeOf(x));
  }

  /** All streams moved by what the computed one, [T, hidden], has over its prediction. */
  correct(predictions: MxArray, computed: MxArray, batch: AdapterChoice): MxArray {
    const modalities = this.#modalities(computed, batch);
    const shares = mx.add(mx.matmul(modalities, this.correction_coefs.array), floats([1]));
    const innovation = mx.subtract(computed, streamOf(predictions, this.#spec.active));
    const moved = mx.multiply(mx.expandDims(innovation, 1), mx.expandDims(shares, 2));
    return mx.astype(mx.add(moved, predictions), dtypeOf(computed));
  }

  #modalities(x: MxArray, batch: AdapterChoice): MxArray {
    const routed = this.modality_router.forward(this.router_norm.forward(x), batch);
    return mx.tanh(mx.astype(routed, DTYPES.float32));
  }
}

import { QUANTIZATION_MODES, type QuantizationMode } from "../mlx/dtype.ts";

export type QuantizationName = keyof typeof QUANTIZATION_MODES;

/** How a matrix is quantized along its last axis. */
export interface Quantization {
  mode: QuantizationName;
  /** Weights that share a scale. */
  groupSize: number;
  /** 2..8 */
  bits: number;
}

/** Whether our CPU primitives read it as it is; what is left, mxfp8, is dense for them. */
export function isPackable(quantization: Quantization | null): quantization is Quantization {
  return quantization !== null && quantization.mode !== "mxfp8";
}

export function modeNumber({ mode }: Quantization): QuantizationMode {
  return QUANTIZATION_MODES[mode];
}

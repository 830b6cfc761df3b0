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

export function modeNumber({ mode }: Quantization): QuantizationMode {
  return QUANTIZATION_MODES[mode];
}

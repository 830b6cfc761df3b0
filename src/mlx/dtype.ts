/** Element types, numbered as MLX's `Dtype::Val`. */
export const DTYPES = {
  bool: 0,
  uint8: 1,
  uint16: 2,
  uint32: 3,
  uint64: 4,
  int8: 5,
  int16: 6,
  int32: 7,
  int64: 8,
  float16: 9,
  float32: 10,
  float64: 11,
  bfloat16: 12,
  complex64: 13,
} as const;

export type Dtype = (typeof DTYPES)[keyof typeof DTYPES];

const BYTES = [1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8, 2, 8];

/** Bytes of one element. */
export function dtypeBytes(dtype: Dtype): number {
  return BYTES[dtype];
}

/** Quantization schemes, numbered as the shim's list. */
export const QUANTIZATION_MODES = { affine: 0, mxfp4: 1, mxfp8: 2, nvfp4: 3 } as const;

export type QuantizationMode = (typeof QUANTIZATION_MODES)[keyof typeof QUANTIZATION_MODES];

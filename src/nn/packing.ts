/** Bytes of matrices in the layout of our CPU primitives: panels of 32 rows, as mlx/native/cpu-kernels.h has them. */
import type { Quantization } from "./quantization.ts";

const PANEL = 32;

/** Numbers of a matrix [rows, columns], or of each of [matrices, rows, columns], with its rows filled up to whole panels. */
function paddedNumbers(shape: readonly number[]): number {
  const [columns = 1, rows = 1, ...matrices] = shape.toReversed();
  return matrices.reduce((product, size) => product * size, 1) * Math.ceil(rows / PANEL) * PANEL * columns;
}

/** With numbers of so many bytes. */
export function packedBytes(shape: readonly number[], numberBytes: number): number {
  return paddedNumbers(shape) * numberBytes;
}

/** Levels take 4 or 8 bits, each group's scale and, in affine mode, its offset are float32. */
export function packedQuantizedBytes(shape: readonly number[], { groupSize, bits, mode }: Quantization): number {
  return paddedNumbers(shape) * ((bits <= 4 ? 4 : 8) / 8 + (mode === "affine" ? 8 : 4) / groupSize);
}

/** 8-bit floats with scales, as publishers train and store them: brought to bfloat16, as mlx-lm does. */
import { StartupError } from "../errors.ts";
import { shapeOf } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import type { ConfigReader } from "./model-config.ts";
import { FLOAT_DTYPES, shapeText, type TensorInfo } from "./safetensors.ts";
import type { DerivedTensor, TensorSet } from "./tensor-set.ts";
import { quote } from "./wording.ts";

const SUFFIX = "_scale_inv";
const BLOCK = 128;
/** Scales of activations, which nobody needs who computes in more digits. */
const ACTIVATION_SCALES = /\.(activation_scale|input_scale)$/;

/**
 * Derives `x` from `x` in E4M3 and `x_scale_inv`, for each such pair. A scale belongs to the whole matrix, or to a block of
 * `weight_block_size` numbers (128 x 128 unless `c` says otherwise). Throws `StartupError` for scales of other shapes.
 */
export function deriveFromFp8(tensors: TensorSet, c: ConfigReader | null): void {
  const names = tensors.names().filter((name) => name.endsWith(SUFFIX));
  if (names.length === 0) return;
  if (c?.string("scale_fmt", { default: "float" }) === "ue8m0") {
    throw new StartupError(`${c.where}: fp8 with scale_fmt "ue8m0" is not supported`);
  }
  const block = c?.ints("weight_block_size", { min: 1, max: 2 ** 16, length: 2, default: null }) ?? [BLOCK, BLOCK];
  const derived = names.map((scaleName): DerivedTensor => {
    const name = scaleName.slice(0, -SUFFIX.length);
    const [weight, scale] = [tensors.get(name), tensors.get(scaleName)!];
    if (weight?.dtype !== "F8_E4M3") throw new StartupError(`${quote(scaleName)} belongs to no F8_E4M3 tensor`);
    checkScales(name, weight, scale, block);
    return {
      name,
      shape: weight.shape,
      dtype: "BF16",
      from: [name, scaleName],
      compute: ([bytes, scales]) => dequantize(bytes!, scales!, block),
    };
  });
  tensors.derive(derived);
  tensors.drop(ACTIVATION_SCALES);
}

/** One for everything, for each matrix of a stack, or for each block. */
function checkScales(name: string, weight: TensorInfo, scale: TensorInfo, block: readonly number[]): void {
  const said = `the scales of ${quote(name)} ${shapeText(weight.shape)} are ${scale.dtype} ${shapeText(scale.shape)}`;
  if (!FLOAT_DTYPES.includes(scale.dtype)) throw new StartupError(`${said}, which is not supported`);
  if (broadcasts(scale.shape, weight.shape)) return;
  const blocks = weight.shape.map((size, axis) => {
    const side = block[axis - weight.shape.length + 2];
    return side === undefined ? size : Math.ceil(size / side);
  });
  if (shapeText(blocks) === shapeText(scale.shape)) return;
  throw new StartupError(`${said}, but must be one number or ${shapeText(blocks)} for blocks of ${block.join(" x ")}`);
}

function broadcasts(scale: readonly number[], weight: readonly number[]): boolean {
  return scale.length <= weight.length && scale.toReversed().every((size, i) => size === 1 || size === weight.at(-1 - i));
}

/** bytes [..., m, n], scales [..., m / block[0], n / block[1]] rounded up, or what broadcasts. */
function dequantize(bytes: MxArray, scales: MxArray, block: readonly number[]): MxArray {
  const shape = shapeOf(bytes);
  const numbers = mx.fromFp8(bytes, DTYPES.float32);
  const factors = broadcasts(shapeOf(scales), shape) ? scales : spreadBlocks(scales, shape, block);
  return mx.astype(mx.multiply(numbers, mx.astype(factors, DTYPES.float32)), DTYPES.bfloat16);
}

/** Each scale for all numbers of its block. */
function spreadBlocks(scales: MxArray, shape: readonly number[], block: readonly number[]): MxArray {
  const stack = shape.slice(0, -2);
  const [rows = 0, columns = 0] = shapeOf(scales).slice(-2);
  // A block may be larger than the matrix.
  const [high = 1, wide = 1] = block.map((side, i) => Math.min(side, shape.at(i - 2) ?? 1));
  const split = mx.reshape(scales, [...stack, rows, 1, columns, 1]);
  const spread = mx.reshape(mx.broadcastTo(split, [...stack, rows, high, columns, wide]), [
    ...stack,
    rows * high,
    columns * wide,
  ]);
  return mx.slice(
    spread,
    shape.map(() => 0),
    shape,
  );
}

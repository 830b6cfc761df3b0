/** Quantized checkpoints of other tools, brought to MLX's layouts where mlx-lm can do that; the rest is refused by name. */
import { StartupError } from "../errors.ts";
import { dimension, dtypeOf, fromBytes, scalar } from "../mlx/array.ts";
import { DTYPES } from "../mlx/dtype.ts";
import type { MxArray } from "../mlx/ffi.ts";
import * as mx from "../mlx/ops.ts";
import { deriveFromFp8 } from "./fp8.ts";
import type { ConfigReader } from "./model-config.ts";
import { findQuantization } from "./quantization-config.ts";
import type { TensorInfo } from "./safetensors.ts";
import type { DerivedTensor, TensorSet } from "./tensor-set.ts";
import { quote } from "./wording.ts";

/** Where AWQ keeps the eight 4-bit levels of a word, as shifts. */
const AWQ_SHIFTS = [0, 16, 4, 20, 8, 24, 12, 28];
/** Where MLX keeps them. */
const MLX_SHIFTS = [0, 4, 8, 12, 16, 20, 24, 28];
/** Zero of 4-bit levels that are signed numbers. */
const MIDDLE = 8;

/** Replaces what other tools' quantization left by MLX's weight, scales and biases, or by plain numbers. Throws `StartupError`. */
export function convertQuantization(tensors: TensorSet, config: ConfigReader): void {
  const c = findQuantization(config);
  const method = c?.string("quant_method", { default: null }) ?? null;
  if (c === null || method === null || method === "fp8") deriveFromFp8(tensors, c);
  else if (method === "awq") convertAwq(tensors, c);
  else if (method === "compressed-tensors") convertPacked(tensors, c);
  // mxfp4 and mxfp8 lie as MLX has them, apart from names that the architecture knows.
  else if (method !== "mxfp4" && method !== "mxfp8") {
    throw new StartupError(
      `${c.where}: quant_method ${quote(method)} is not supported: take a checkpoint that MLX quantized, or the original one`,
    );
  }
}

function convertAwq(tensors: TensorSet, c: ConfigReader): void {
  const bits = c.int("bits", { default: 4 });
  if (bits !== 4) throw new StartupError(`${c.where}: AWQ with ${bits} bits is not supported, only with 4`);
  const derived: DerivedTensor[] = [];
  for (const name of tensors.names().filter((name) => name.endsWith(".qweight"))) {
    const module = name.slice(0, -".qweight".length);
    const [levels, scales] = [tensors.get(name)!, tensors.get(`${module}.scales`)];
    if (!scales) throw new StartupError(`${quote(name)} has no scales`);
    derived.push(...awqTensors(module, levels, scales, tensors.has(`${module}.qzeros`)));
  }
  tensors.derive(derived);
}

/** AWQ has [in, out / 8] words of levels and [in / group, out] scales; a number is (level - zero) * scale. */
function awqTensors(
  module: string,
  { shape: [inDim = 0, words = 0] }: TensorInfo,
  scales: TensorInfo,
  zeros: boolean,
): DerivedTensor[] {
  const outDim = words * 8;
  const groups = [outDim, scales.shape[0] ?? 0];
  const [q, s, z] = ["qweight", "scales", "qzeros"].map((part) => `${module}.${part}`) as [string, string, string];
  return [
    {
      name: `${module}.weight`,
      shape: [outDim, inDim / 8],
      dtype: "U32",
      from: [q],
      compute: ([levels]) => packLevels(mx.transpose(unpackLevels(levels!), [1, 0])),
    },
    { name: s, shape: groups, from: [s], compute: ([scale]) => mx.contiguous(mx.transpose(scale!, [1, 0])) },
    {
      name: `${module}.biases`,
      shape: groups,
      dtype: scales.dtype,
      from: zeros ? [s, z] : [s],
      compute: ([scale, zero]) => {
        const middle = zero ? mx.astype(unpackLevels(zero), DTYPES.float32) : scalar(MIDDLE);
        const bias = mx.negative(mx.multiply(middle, mx.astype(scale!, DTYPES.float32)));
        return mx.contiguous(mx.transpose(mx.astype(bias, dtypeOf(scale!)), [1, 0]));
      },
    },
  ];
}

/** Words [n, m] in AWQ's order to levels [n, 8 m]. */
function unpackLevels(words: MxArray): MxArray {
  const levels = mx.rightShift(mx.expandDims(mx.view(words, DTYPES.uint32), 2), uints(AWQ_SHIFTS));
  return mx.reshape(mx.bitwiseAnd(levels, uints([15])), [dimension(words, 0), -1]);
}

/** Levels [n, m] to words [n, m / 8] in MLX's order. */
function packLevels(levels: MxArray): MxArray {
  const byWord = mx.reshape(levels, [dimension(levels, 0), -1, 8]);
  return mx.sum(mx.leftShift(byWord, uints(MLX_SHIFTS)), 2, false);
}

function uints(values: readonly number[]): MxArray {
  return fromBytes(Uint32Array.from(values), DTYPES.uint32, [values.length]);
}

/** compressed-tensors' 4-bit integers: words as MLX has them, symmetric around the middle level. */
function convertPacked(tensors: TensorSet, c: ConfigReader): void {
  const format = c.string("format", { default: null });
  if (format !== "pack-quantized") {
    throw new StartupError(`${c.where}: compressed-tensors with format ${quote(String(format))} is not supported`);
  }
  const groups = c.optionalChild("config_groups");
  for (const weights of groups?.names().map((name) => groups.child(name).child("weights")) ?? []) {
    if (weights.int("num_bits") === 4 && weights.string("type") === "int" && weights.boolean("symmetric")) continue;
    throw new StartupError(`${weights.where}: only symmetric 4-bit integers are supported`);
  }
  const derived: DerivedTensor[] = [];
  for (const name of tensors.names().filter((name) => name.endsWith(".weight_packed"))) {
    const module = name.slice(0, -".weight_packed".length);
    const scales = tensors.get(`${module}.weight_scale`);
    if (!scales) throw new StartupError(`${quote(name)} has no scales`);
    const strange = ["weight_zero_point", "weight_g_idx"].find((part) => tensors.has(`${module}.${part}`));
    if (strange) throw new StartupError(`${c.where}: compressed-tensors with ${strange} is not supported`);
    const from = [`${module}.weight_scale`];
    derived.push(
      {
        name: `${module}.weight`,
        shape: tensors.get(name)!.shape,
        dtype: "U32",
        from: [name],
        compute: ([words]) => mx.view(words!, DTYPES.uint32),
      },
      { name: `${module}.scales`, shape: scales.shape, from, compute: ([scale]) => scale! },
      {
        name: `${module}.biases`,
        shape: scales.shape,
        from,
        compute: ([scale]) => mx.astype(mx.multiply(scale!, scalar(-MIDDLE)), dtypeOf(scale!)),
      },
    );
  }
  tensors.derive(derived);
  tensors.drop(/\.weight_shape$/);
}

/** Checkpoints that other tools quantized, against the numbers that they stand for. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { floats, openMlx, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { convertQuantization } from "../../src/models/foreign-quantization.ts";
import { ConfigReader, type JsonObject } from "../../src/models/model-config.ts";
import { readSafetensorsHeader, type SafetensorsDtype } from "../../src/models/safetensors.ts";
import { TensorSet } from "../../src/models/tensor-set.ts";
import { Weights } from "../../src/models/weights.ts";
import { random } from "../mlx/randoms.ts";
import { makeScratch, startupMessage } from "./model-directories.ts";
import { floatContent, numbersOf, type TensorContent, writeContents } from "./tensor-files.ts";

const scratch = makeScratch();
afterAll(scratch.remove);
beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

type Tensors = Readonly<Record<string, TensorContent>>;
type Shape = readonly [outDim: number, inDim: number];

const below = (end: number) => Math.floor(((random() + 1) / 2) * end);
const list = (length: number, make: (i: number) => number): number[] => Array.from({ length }, (_, i) => make(i));

function words(dtype: SafetensorsDtype, shape: readonly number[], values: readonly number[]): TensorContent {
  return { dtype, shape, bytes: new Uint8Array(Uint32Array.from(values).buffer) };
}

let files = 0;
async function open(tensors: Tensors, quantization: JsonObject): Promise<Weights> {
  const path = join(scratch.path, `${files++}.safetensors`);
  writeContents(path, tensors);
  const set = new TensorSet((await readSafetensorsHeader(path)).tensors);
  const config = new ConfigReader({ quantization_config: quantization }, "config.json");
  convertQuantization(set, config);
  return new Weights(set, config, { dtype: DTYPES.float32, packed: true });
}

/** The weight of a linear layer as it computes: what it makes of the unit vectors, turned. */
async function weightOf(tensors: Tensors, quantization: JsonObject, [outDim, inDim]: Shape): Promise<number[]> {
  const weights = await open(tensors, quantization);
  const layer = weights.linear("up", inDim, outDim, false);
  weights.check("here", []);
  await weights.load();
  const units = list(inDim * inDim, (i) => (i % (inDim + 1) === 0 ? 1 : 0));
  const turned = scope(() => numbersOf(() => layer.forward(floats(units, [inDim, inDim]), { adapters: null })));
  weights.free();
  return list(outDim * inDim, (i) => turned[(i % inDim) * outDim + Math.floor(i / inDim)]!);
}

const messageOf = (tensors: Tensors, quantization: JsonObject, shape: Shape) =>
  startupMessage(() => weightOf(tensors, quantization, shape));

/** An E4M3 byte as a number. */
function fromE4m3(byte: number): number {
  const exponent = (byte >> 3) & 15;
  const fraction = (byte & 7) / 8;
  return (byte & 128 ? -1 : 1) * (exponent === 0 ? fraction * 2 ** -6 : (1 + fraction) * 2 ** (exponent - 7));
}

function toBfloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  return new Float32Array(Uint32Array.of((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000).buffer)[0]!;
}

describe("fp8", () => {
  const bytes = (count: number) => list(count, () => (below(2) << 7) | below(0x7f));
  const fp8 = (shape: readonly number[], values: readonly number[]): TensorContent => ({
    dtype: "F8_E4M3",
    shape,
    bytes: Uint8Array.from(values),
  });

  const LAYOUTS: { shape: Shape; scales: readonly number[]; block?: readonly [number, number] }[] = [
    { shape: [5, 8], block: [2, 3], scales: [3, 3] },
    { shape: [4, 6], block: [2, 3], scales: [2, 2] },
    { shape: [130, 129], scales: [2, 2] },
    { shape: [6, 4], scales: [] },
    { shape: [6, 4], scales: [6, 1] },
    { shape: [3, 4], block: [65536, 65536], scales: [1, 1] },
  ];
  test.each(LAYOUTS)("scales $scales of $shape", async ({ shape, block, scales }) => {
    const [outDim, inDim] = shape;
    const values = bytes(outDim * inDim);
    const factors = list(
      scales.reduce((product, size) => product * size, 1),
      () => Math.fround(0.5 + below(100) / 64),
    );
    const tensors = {
      "up.weight": fp8(shape, values),
      "up.weight_scale_inv": floatContent(scales, Float32Array.from(factors)),
      "up.activation_scale": floatContent([], Float32Array.of(3)),
    };
    const [rows = 1, columns = 1] = scales;
    const [high, wide] = columns === 1 && rows === outDim ? [1, inDim] : (block ?? [128, 128]);
    const factorAt = (row: number, column: number) =>
      factors[rows * columns === 1 ? 0 : Math.floor(row / high) * columns + Math.floor(column / wide)]!;
    // A zero has no sign here.
    const want = values.map((byte, i) => toBfloat16(fromE4m3(byte) * factorAt(Math.floor(i / inDim), i % inDim)) + 0);
    const config = { quant_method: "fp8", ...(block && { weight_block_size: block }) };
    expect(await weightOf(tensors, config, shape)).toEqual(want);
  });

  const weight = fp8([4, 4], bytes(16));
  const one = floatContent([], Float32Array.of(1));
  const refusals: [string, Tensors, JsonObject, RegExp][] = [
    ["a scale of nothing", { "up.weight_scale_inv": one }, {}, /"up\.weight_scale_inv" belongs to no F8_E4M3 tensor/],
    [
      "a scale of plain numbers",
      { "up.weight": floatContent([2, 2], new Float32Array(4)), "up.weight_scale_inv": one },
      {},
      /no F8_E4M3/,
    ],
    [
      "scales of another shape",
      { "up.weight": weight, "up.weight_scale_inv": floatContent([3, 1], new Float32Array(3)) },
      { weight_block_size: [2, 2] },
      /must be one number or \[2, 2\] for blocks of 2 x 2/,
    ],
    [
      "scales of bytes",
      { "up.weight": weight, "up.weight_scale_inv": { dtype: "U8", shape: [1], bytes: Uint8Array.of(1) } },
      {},
      /U8/,
    ],
    ["powers of two", { "up.weight": weight, "up.weight_scale_inv": one }, { scale_fmt: "ue8m0" }, /ue8m0/],
    ["no scales", { "up.weight": weight }, {}, /unusable element type: "up\.weight" F8_E4M3/],
    [
      "blocks of nothing",
      { "up.weight": weight, "up.weight_scale_inv": one },
      { weight_block_size: [0, 1] },
      /weight_block_size/,
    ],
  ];
  test.each(refusals)("%s is refused", async (_, tensors, config, message) => {
    expect(await messageOf(tensors, { quant_method: "fp8", ...config }, [4, 4])).toMatch(message);
  });
});

describe("AWQ", () => {
  const ORDER = [0, 2, 4, 6, 1, 3, 5, 7];
  /** Rows of levels in words, eight to each, in AWQ's order. */
  const pack = (levels: readonly number[]) =>
    list(levels.length / 8, (word) => ORDER.reduce((bits, from, at) => (bits | (levels[word * 8 + from]! << (4 * at))) >>> 0, 0));

  const [outDim, inDim, group] = [16, 128, 64];
  const levels = list(inDim * outDim, () => below(16));
  const zeros = list((inDim / group) * outDim, () => below(16));
  const scales = list((inDim / group) * outDim, () => (1 + below(30)) / 32);
  const tensors = {
    "up.qweight": words("I32", [inDim, outDim / 8], pack(levels)),
    "up.qzeros": words("I32", [inDim / group, outDim / 8], pack(zeros)),
    "up.scales": floatContent([inDim / group, outDim], Float32Array.from(scales)),
  };
  const expected = (zeroAt: (i: number) => number) =>
    list(outDim * inDim, (i) => {
      const [row, column] = [Math.floor(i / inDim), i % inDim];
      const at = Math.floor(column / group) * outDim + row;
      return (levels[column * outDim + row]! - zeroAt(at)) * scales[at]!;
    });
  const close = (got: readonly number[], want: readonly number[]) => {
    expect(Math.max(...got.map((value, i) => Math.abs(value - want[i]!)))).toBeLessThan(1e-5);
  };

  test("levels, scales and zeros", async () => {
    const config = { quant_method: "awq", bits: 4, group_size: group, zero_point: true, version: "gemm" };
    close(
      await weightOf(tensors, config, [outDim, inDim]),
      expected((i) => zeros[i]!),
    );
  });

  test("without zeros the middle level is zero", async () => {
    const { "up.qzeros": _, ...symmetric } = tensors;
    close(
      await weightOf(symmetric, { quant_method: "awq" }, [outDim, inDim]),
      expected(() => 8),
    );
  });

  test("what is not so is refused", async () => {
    const { "up.scales": _, ...bare } = tensors;
    expect(await messageOf(bare, { quant_method: "awq" }, [outDim, inDim])).toMatch(/"up\.qweight" has no scales/);
    expect(await messageOf(tensors, { quant_method: "awq", bits: 8 }, [outDim, inDim])).toMatch(/AWQ with 8 bits/);
    const odd = { ...tensors, "up.qweight": words("I32", [inDim / 8, outDim], pack(levels)) };
    expect(await messageOf(odd, { quant_method: "awq" }, [outDim, inDim])).toMatch(/up/);
    const short = {
      ...tensors,
      "up.qweight": words(
        "I32",
        [3, 2],
        list(6, () => 0),
      ),
    };
    expect(await messageOf(short, { quant_method: "awq" }, [outDim, inDim])).toMatch(/cannot be \[16, 0\.375\]/);
  });
});

describe("compressed-tensors", () => {
  const [outDim, inDim, group] = [4, 64, 32];
  const levels = list(outDim * inDim, () => below(16));
  const scales = list((outDim * inDim) / group, () => (1 + below(30)) / 32);
  const packed = list(levels.length / 8, (word) =>
    list(8, (i) => i).reduce((bits, i) => (bits | (levels[word * 8 + i]! << (4 * i))) >>> 0, 0),
  );
  const tensors = {
    "up.weight_packed": words("I32", [outDim, inDim / 8], packed),
    "up.weight_scale": floatContent([outDim, inDim / group], Float32Array.from(scales)),
    "up.weight_shape": words("I32", [2], [outDim, inDim]),
  };
  const config = (weights: JsonObject, format = "pack-quantized") => ({
    quant_method: "compressed-tensors",
    format,
    config_groups: { group_0: { weights: { num_bits: 4, type: "int", symmetric: true, ...weights } } },
  });

  test("symmetric 4-bit integers", async () => {
    const want = levels.map((level, i) => (level - 8) * scales[Math.floor(i / group)]!);
    const got = await weightOf(tensors, config({}), [outDim, inDim]);
    expect(Math.max(...got.map((value, i) => Math.abs(value - want[i]!)))).toBeLessThan(1e-5);
  });

  test("others are refused", async () => {
    const shape = [outDim, inDim] as const;
    expect(await messageOf(tensors, config({ num_bits: 8 }), shape)).toMatch(/group_0: weights: only symmetric 4-bit integers/);
    expect(await messageOf(tensors, config({}, "float-quantized"), shape)).toMatch(/format "float-quantized" is not supported/);
    const zero = { ...tensors, "up.weight_zero_point": tensors["up.weight_scale"] };
    expect(await messageOf(zero, config({}), shape)).toMatch(/weight_zero_point/);
  });
});

test.each(["gptq", "bitnet", "bitsandbytes", "modelopt", "hqq"])("%s is refused by name", async (method) => {
  const tensors = { "up.weight": floatContent([1, 2], new Float32Array(2)) };
  expect(await messageOf(tensors, { quant_method: method }, [1, 2])).toMatch(`quant_method "${method}" is not supported`);
});

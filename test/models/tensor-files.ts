/** Checkpoints with given contents. */
import { writeFileSync } from "node:fs";
import { evaluate, readUints, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import * as mx from "../../src/mlx/ops.ts";
import type { JsonObject } from "../../src/models/model-config.ts";
import { ConfigReader } from "../../src/models/model-config.ts";
import { readSafetensorsHeader, type SafetensorsDtype } from "../../src/models/safetensors.ts";
import { TensorSet } from "../../src/models/tensor-set.ts";
import { type WeightOptions, Weights } from "../../src/models/weights.ts";
import { headerBytes } from "./model-directories.ts";

export interface TensorContent {
  dtype: SafetensorsDtype;
  shape: readonly number[];
  bytes: Uint8Array;
}

/** One file with these tensors, in this order. */
export function writeContents(path: string, tensors: Readonly<Record<string, TensorContent>>): void {
  let end = 0;
  const entries = Object.entries(tensors).map(([name, { dtype, shape, bytes }]) => {
    const begin = end;
    end += bytes.length;
    return [name, { dtype, shape, data_offsets: [begin, end] }];
  });
  const parts = Object.values(tensors).map(({ bytes }) => bytes);
  writeFileSync(path, Buffer.concat([headerBytes(JSON.stringify(Object.fromEntries(entries))), ...parts]));
}

/** What a file holds of an array whose rows are whole words. */
export function contentOf(dtype: SafetensorsDtype, shape: readonly number[], array: MxArray): TensorContent {
  const words = mx.view(mx.contiguous(array), DTYPES.uint32);
  evaluate(words);
  return { dtype, shape, bytes: new Uint8Array(readUints(words).buffer) };
}

export function floatContent(shape: readonly number[], values: Float32Array): TensorContent {
  return { dtype: "F32", shape, bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

/** Weights over a file's tensors, as a model gets them. */
export async function openWeights(path: string, config: JsonObject, options: WeightOptions): Promise<Weights> {
  const { tensors } = await readSafetensorsHeader(path);
  return new Weights(new TensorSet(tensors), new ConfigReader(config, "config.json"), options);
}

/** float32 numbers of an array. */
export function numbersOf(make: () => MxArray): Float32Array {
  return scope(() => new Float32Array(contentOf("F32", [], mx.astype(make(), DTYPES.float32)).bytes.buffer));
}

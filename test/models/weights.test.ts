import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { dtypeOf, openMlx, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { makeScratch, startupMessage } from "./model-directories.ts";
import { floatContent, numbersOf, openWeights, type TensorContent, writeContents } from "./tensor-files.ts";

const scratch = makeScratch();
const path = join(scratch.path, "model.safetensors");
afterAll(scratch.remove);
beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const AS_STORED = { dtype: null, packed: false };
const AS_FLOAT = { dtype: DTYPES.float32, packed: true };
const halves = (count: number): TensorContent => ({ dtype: "BF16", shape: [count], bytes: new Uint8Array(2 * count) });
const doubles = (...values: number[]): TensorContent => ({
  dtype: "F64",
  shape: [values.length],
  bytes: new Uint8Array(Float64Array.from(values).buffer),
});

test("activations have the type of most numbers, where no other is asked for", async () => {
  writeContents(path, { first: floatContent([4], new Float32Array(4)), rest: halves(5), many: { ...halves(40), dtype: "U16" } });
  expect((await openWeights(path, {}, AS_STORED)).activationDtype()).toBe(DTYPES.bfloat16);
  expect((await openWeights(path, {}, AS_FLOAT)).activationDtype()).toBe(DTYPES.float32);
  writeContents(path, { only: { ...halves(4), dtype: "I16" } });
  expect((await openWeights(path, {}, AS_STORED)).activationDtype()).toBe(DTYPES.float32);
});

test("float64, which a GPU lacks, becomes float32; the rest stays as it is, or becomes what is asked for", async () => {
  writeContents(path, { double: doubles(1.5, -2), half: halves(2) });
  for (const [options, half] of [
    [AS_STORED, DTYPES.bfloat16],
    [AS_FLOAT, DTYPES.float32],
  ] as const) {
    const weights = await openWeights(path, {}, options);
    const parameters = [weights.tensor("double", [2]), weights.tensor("half", [2])];
    weights.check("here", []);
    await weights.load();
    expect(parameters.map(({ array }) => dtypeOf(array))).toEqual([DTYPES.float32, half]);
    expect([...scope(() => numbersOf(() => parameters[0]!.array))]).toEqual([1.5, -2]);
    expect(weights.bytes).toBe(weights.plannedBytes);
    weights.free();
  }
});

test("whole numbers are no weights", async () => {
  writeContents(path, {
    "norm.weight": { ...halves(2), dtype: "I16" },
    "up.weight": { dtype: "U32", shape: [1, 1], bytes: new Uint8Array(4) },
  });
  const weights = await openWeights(path, {}, AS_FLOAT);
  weights.norm("norm", 2, 1e-6);
  weights.linear("up", 1, 1, false);
  expect(await startupMessage(() => weights.check("here", []))).toBe(
    'here does not fit the model: 2 unusable element types: "norm.weight" I16, "up.weight" U32',
  );
});

test("progress goes from nothing to all that was planned", async () => {
  writeContents(path, { a: floatContent([4], new Float32Array(4)), b: floatContent([2], new Float32Array(2)) });
  const weights = await openWeights(path, {}, AS_FLOAT);
  weights.tensor("a", [4]);
  weights.tensor("b", [2]);
  const seen: [number, number][] = [];
  await weights.load((done, total) => seen.push([done, total]));
  expect(seen).toEqual([
    [0, 24],
    [16, 24],
    [24, 24],
  ]);
  weights.free();
  expect(weights.bytes).toBe(0);
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { fromFile, openMlx, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { MlxError, type MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { readSafetensorsHeader, type TensorInfo } from "../../src/models/safetensors.ts";
import { type DerivedTensor, TensorSet } from "../../src/models/tensor-set.ts";
import { makeScratch, startupMessage } from "./model-directories.ts";
import { floatContent, numbersOf, writeContents } from "./tensor-files.ts";

const scratch = makeScratch();
const path = join(scratch.path, "model.safetensors");
afterAll(scratch.remove);
beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
  writeContents(path, {
    a: floatContent([2, 3], Float32Array.of(1, 2, 3, 4, 5, 6)),
    b: floatContent([2, 3], Float32Array.of(7, 8, 9, 10, 11, 12)),
    c: floatContent([4], Float32Array.of(0, 0, 0, 1)),
    odd: { dtype: "F8_E5M2", shape: [4], bytes: new Uint8Array(4) },
  });
});

const readStored = ({ path: file, offset, byteLength, mlxDtype, shape }: TensorInfo): MxArray =>
  fromFile(file, offset, byteLength, DTYPES[mlxDtype!], [...shape]);

const open = async () => new TensorSet((await readSafetensorsHeader(path)).tensors);
const numbers = (set: TensorSet, name: string) => [...scope(() => numbersOf(() => set.read(name, readStored)))];
const identity: DerivedTensor["compute"] = ([part]) => part!;

describe("rename", () => {
  test("moves and drops, and remembers where a tensor comes from", async () => {
    const set = await open();
    set.rename((name) => (name === "odd" ? null : `model.${name}`));
    set.drop(/c$/);
    expect(set.names().sort()).toEqual(["model.a", "model.b"]);
    expect([set.originOf("model.a"), set.originOf("a"), set.get("model.a")?.shape]).toEqual(["a", undefined, [2, 3]]);
    expect(numbers(set, "model.b")).toEqual([7, 8, 9, 10, 11, 12]);
  });

  test("two tensors of one name are refused", async () => {
    const set = await open();
    const message = await startupMessage(() => set.rename((name) => (name === "b" ? "a" : name)));
    expect(message).toBe('the tensors "a" and "b" of the checkpoint are both "a" for the model');
  });
});

describe("derive", () => {
  test("makes tensors from several, and from derived ones", async () => {
    const set = await open();
    const stack: DerivedTensor = {
      name: "stack",
      shape: [2, 2, 3],
      from: ["a", "b"],
      compute: (parts) =>
        mx.concatenate(
          parts.map((part) => mx.expandDims(part, 0)),
          0,
        ),
    };
    set.derive([stack]);
    expect(set.has("a")).toBe(false);
    set.derive([
      { name: "a", shape: [2, 3], from: ["stack"], compute: ([all]) => mx.squeeze(mx.slice(all!, [1, 0, 0], [2, 2, 3]), 0) },
      { name: "turned", shape: [2, 3, 2], from: ["stack"], compute: ([all]) => mx.transpose(all!, [0, 2, 1]) },
    ]);
    expect(numbers(set, "a")).toEqual([7, 8, 9, 10, 11, 12]);
    expect(numbers(set, "turned").slice(0, 4)).toEqual([1, 4, 2, 5]);
    expect([set.originOf("turned"), set.has("stack")]).toEqual(["a", false]);
  });

  test("a part that is missing makes nothing, and nothing comes from no parts", async () => {
    const set = await open();
    set.derive([
      { name: "x", shape: [2, 3], from: ["a", "nowhere"], compute: identity },
      { name: "y", shape: [], from: [], compute: identity },
    ]);
    expect(set.names().sort()).toEqual(["a", "b", "c", "odd"]);
  });

  const shapes = [[2.5], [-1, -6], [Number.NaN], [2 ** 31], [2 ** 16, 2 ** 16], [1e9, 0, 1e9], [Number.POSITIVE_INFINITY], [200]];
  test.each(shapes.map((shape) => [shape]))("the shape %p is refused before anything is read", async (shape) => {
    const set = await open();
    const derive = () => set.derive([{ name: "x", shape, from: ["a"], compute: identity }]);
    if (shape.includes(0)) return expect(derive).not.toThrow();
    expect(await startupMessage(derive)).toMatch(/^tensor "x" cannot be \[.*\], made from "a" \[2, 3\]$/);
  });

  test("a result of another shape is refused before it is computed", async () => {
    const set = await open();
    set.derive([
      { name: "x", shape: [3, 2], from: ["a"], compute: identity },
      { name: "y", shape: [6], from: ["b"], compute: ([b]) => mx.reshape(b!, [5]) },
    ]);
    expect(await startupMessage(() => numbers(set, "x"))).toBe('tensor "x" comes out as [2, 3] instead of [3, 2]');
    expect(() => numbers(set, "y")).toThrow(MlxError);
  });

  test("a name that is taken is refused, unless its tensor is a part", async () => {
    const set = await open();
    set.derive([{ name: "a", shape: [3, 2], from: ["a"], compute: ([a]) => mx.transpose(a!, [1, 0]) }]);
    expect(numbers(set, "a")).toEqual([1, 4, 2, 5, 3, 6]);
    expect(await startupMessage(() => set.derive([{ name: "b", shape: [4], from: ["c"], compute: identity }]))).toContain(
      'both "b"',
    );
  });

  test("what MLX cannot hold stays known as that", async () => {
    const set = await open();
    set.derive([{ name: "x", shape: [4], dtype: "F32", from: ["c", "odd"], compute: identity }]);
    expect([set.get("x")?.dtype, set.get("x")?.mlxDtype]).toEqual(["F8_E5M2", null]);
  });
});

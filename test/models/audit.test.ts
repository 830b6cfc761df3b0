import { describe, expect, test } from "bun:test";
import { findMismatches, matchTensors } from "../../src/models/audit.ts";
import { SAFETENSORS_DTYPES, type SafetensorsDtype, type TensorInfo } from "../../src/models/safetensors.ts";
import { startupMessage } from "./model-directories.ts";

function tensor(shape: number[], dtype: SafetensorsDtype = "F32"): TensorInfo {
  const { mlx } = SAFETENSORS_DTYPES[dtype];
  return { dtype, mlxDtype: mlx, shape, offset: 8, byteLength: 0, path: "model.safetensors", aligned: true };
}

const expected = [
  { name: "a", shape: [2, 3] },
  { name: "b", shape: [4] },
];

describe("matchTensors", () => {
  test("says nothing when all is right", () => {
    const tensors = new Map([
      ["b", tensor([4], "BF16")],
      ["a", tensor([2, 3])],
    ]);
    expect(() => matchTensors(expected, tensors)).not.toThrow();
    expect(() => matchTensors([], new Map())).not.toThrow();
  });

  test("names everything at once", async () => {
    const tensors = new Map([
      ["a", tensor([3, 2])],
      ["c", tensor([1])],
      ["d\n", tensor([1])],
    ]);
    const message = await startupMessage(() => matchTensors(expected, tensors, { where: "/m" }));
    expect(message).toBe(
      '/m does not fit the model: 1 missing tensor: "b" [4]; 1 misshapen tensor: "a" [3, 2] instead of [2, 3]; 2 surplus tensors: "c", "d\\n"',
    );
  });

  test("shows the first few of many, and how many more", () => {
    const many = Array.from({ length: 300 }, (_, i) => ({ name: `layers.${i}`, shape: [1] }));
    expect(findMismatches(many, new Map())).toEqual([
      '300 missing tensors: "layers.0" [1], "layers.1" [1], "layers.2" [1], "layers.3" [1] and 296 more',
    ]);
  });

  test("the number of dimensions counts, and so do scalars", () => {
    expect(findMismatches([{ name: "a", shape: [2] }], new Map([["a", tensor([2, 1])]]))).toHaveLength(1);
    expect(findMismatches([{ name: "a", shape: [] }], new Map([["a", tensor([])]]))).toEqual([]);
  });

  test("ignored tensors are not surplus, global patterns included", () => {
    const tensors = new Map(["x.inv_freq", "y.inv_freq", "z.inv_freq"].map((name) => [name, tensor([1])]));
    expect(findMismatches([], tensors, { ignore: [/\.inv_freq$/g] })).toEqual([]);
    expect(findMismatches([], tensors, { ignore: [/^x/, /^y/] })).toEqual(['1 surplus tensor: "z.inv_freq"']);
  });

  test("element types that MLX lacks or would misread are named", () => {
    const tensors = new Map([
      ["a", tensor([2, 3], "F8_E4M3")],
      ["b", tensor([4], "F8_E5M2")],
    ]);
    expect(findMismatches(expected, tensors)).toEqual(['2 unusable element types: "a" F8_E4M3, "b" F8_E5M2']);
    expect(
      findMismatches([{ name: "a", shape: [2, 3], dtypes: ["F8_E4M3"] }], new Map([["a", tensor([2, 3], "F8_E4M3")]])),
    ).toEqual([]);
    expect(findMismatches([{ name: "b", shape: [4], dtypes: ["U32"] }], new Map([["b", tensor([4])]]))).toHaveLength(1);
    expect(findMismatches([{ name: "b", shape: [4], dtypes: ["F4"] }], new Map([["b", tensor([4], "F4")]]))).toHaveLength(1);
  });
});

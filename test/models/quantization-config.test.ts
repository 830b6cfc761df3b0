import { describe, expect, test } from "bun:test";
import { StartupError } from "../../src/errors.ts";
import { ConfigReader, type JsonObject } from "../../src/models/model-config.ts";
import { QuantizationConfig } from "../../src/models/quantization-config.ts";
import { SAFETENSORS_DTYPES, type SafetensorsDtype, type TensorInfo } from "../../src/models/safetensors.ts";

const MODULE = "model.layers.3.mlp.down_proj";
const INPUTS = 256;

function tensor(dtype: SafetensorsDtype, columns: number): TensorInfo {
  const mlxDtype = SAFETENSORS_DTYPES[dtype].mlx;
  return { dtype, mlxDtype, shape: [8, columns], offset: 0, byteLength: 0, path: "m", aligned: true };
}

/** Of a module with so many columns of words and scales. */
function find(config: JsonObject, columns: number, groups: number, scales: SafetensorsDtype = "BF16", names = [MODULE]) {
  const reader = new QuantizationConfig(new ConfigReader(config, "config.json"));
  return reader.of(MODULE, names, INPUTS, tensor("U32", columns), tensor(scales, groups));
}

function refusal(...args: Parameters<typeof find>): string {
  try {
    find(...args);
  } catch (error) {
    if (error instanceof StartupError) return error.message;
  }
  throw new Error("nothing was refused");
}

describe("what the tensors say", () => {
  test.each([2, 3, 4, 5, 6, 8])("affine, %d bits", (bits) => {
    for (const groupSize of [32, 64, 128]) {
      expect(find({}, (INPUTS * bits) / 32, INPUTS / groupSize)).toEqual({ mode: "affine", bits, groupSize });
    }
  });

  test("the floating-point kinds are known by the bytes of their scales", () => {
    expect(find({}, 32, 8, "U8")).toEqual({ mode: "mxfp4", bits: 4, groupSize: 32 });
    expect(find({}, 32, 8, "F8_E8M0")).toEqual({ mode: "mxfp4", bits: 4, groupSize: 32 });
    expect(find({}, 64, 8, "U8")).toEqual({ mode: "mxfp8", bits: 8, groupSize: 32 });
    expect(find({}, 32, 16, "U8")).toEqual({ mode: "nvfp4", bits: 4, groupSize: 16 });
    expect(find({}, 32, 16, "F8_E4M3")).toEqual({ mode: "nvfp4", bits: 4, groupSize: 16 });
  });

  test("as in mlx-lm a setting for all modules changes nothing", () => {
    for (const quantization of [
      { bits: 4, group_size: 64 },
      { bits: 8, group_size: 32, mode: "mxfp8" },
    ]) {
      expect(find({ quantization }, 48, 4)).toEqual({ mode: "affine", bits: 6, groupSize: 64 });
    }
  });

  const impossible: [columns: number, groups: number, scales: SafetensorsDtype][] = [
    [56, 4, "BF16"],
    [8, 4, "F32"],
    [33, 4, "F32"],
    [32, 16, "BF16"],
    [32, 3, "F32"],
    [32, 0, "F32"],
    [0, 4, "F32"],
    [32, 4, "U8"],
    [64, 16, "U8"],
    [32, 8, "F8_E4M3"],
    [32, 8, "I32"],
    [32, 4, "F64"],
  ];
  test.each(impossible)("%d columns, %d groups, scales %s", (columns, groups, scales) => {
    expect(refusal({}, columns, groups, scales)).toContain("no quantization of 256 inputs that MLX has");
  });
});

describe("entries", () => {
  const entry = { bits: 6, group_size: 64 };

  test("agree, or are refused", () => {
    const want = { mode: "affine" as const, bits: 6, groupSize: 64 };
    for (const own of [entry, { ...entry, mode: "affine" }, { bits: 6 }, {}, true]) {
      expect(find({ quantization: { bits: 4, group_size: 64, [MODULE]: own } }, 48, 4)).toEqual(want);
    }
    const message = refusal({ quantization: { [MODULE]: entry } }, 32, 4);
    expect(message).toBe(
      `${MODULE} is quantized as affine, 4 bits, groups of 64, but config.json: quantization: ${MODULE} says affine, 6 bits, groups of 64`,
    );
    expect(refusal({ quantization: { [MODULE]: { mode: "mxfp4" } } }, 32, 4)).toContain("says mxfp4");
    expect(refusal({ quantization: { [MODULE]: { mode: "q4_k" } } }, 32, 4)).toContain("mode");
    expect(refusal({ quantization: { [MODULE]: { bits: "4" } } }, 32, 4)).toContain("bits");
    expect(refusal({ quantization: { [MODULE]: false } }, 32, 4)).toContain("says that it is not quantized");
  });

  test("are found in every place and under every nesting of the model", () => {
    const wrong = { bits: 5 };
    const names = [MODULE, `language_model.${MODULE}`, "model.language_model.layers.3.mlp.down_proj", "layers.3.mlp.down_proj"];
    for (const name of names) {
      const places = [
        { quantization: { [name]: wrong } },
        { quantization_config: { [name]: wrong } },
        { text_config: { quantization: { [name]: wrong } } },
        { text_config: { quantization_config: { [name]: wrong } } },
      ];
      for (const config of places) expect(refusal(config, 48, 4)).toContain("says affine, 5 bits");
    }
    // `quantization` goes before what is written for other tools.
    expect(find({ quantization: {}, quantization_config: { [MODULE]: wrong } }, 48, 4).bits).toBe(6);
  });

  test("may have the name that the checkpoint's tensors have", () => {
    const config = { quantization: { "transformer.h.3.down": { bits: 5 } } };
    expect(find(config, 48, 4).bits).toBe(6);
    expect(refusal(config, 48, 4, "BF16", [MODULE, "transformer.h.3.down"])).toContain("says affine, 5 bits");
  });

  test("of other modules and other tools are left alone", () => {
    const quantization = {
      "model.layers.4.mlp.down_proj": { bits: 3 },
      quant_method: "x",
      modules: ["a"],
      weights: { num_bits: 1 },
    };
    expect(find({ quantization }, 48, 4).bits).toBe(6);
  });
});

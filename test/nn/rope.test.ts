import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { evaluate, floats, ints, openMlx, readFloats, scope } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import * as mx from "../../src/mlx/ops.ts";
import { ConfigReader, type JsonObject } from "../../src/models/model-config.ts";
import { type RopeSpec, readRope, readRopeOptions, readRopeScaling } from "../../src/models/rope-config.ts";
import { Rope } from "../../src/nn/rope.ts";
import { startupMessage } from "../models/model-directories.ts";

interface Values {
  positions: number[];
  cases: { name: string; config: JsonObject; head_dim: number; rotated: number[] }[];
}

/** Made by mlx-lm, see make_rope.py there. */
const { positions, cases }: Values = await Bun.file(join(import.meta.dir, "../fixtures/rope/rope.json")).json();

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const reader = (config: JsonObject) => new ConfigReader(config, "config.json");
const optionsOf = (config: JsonObject, spec: RopeSpec) => readRopeOptions(reader(config), spec);

/** What the rotation makes of sin(0.7 i + 0.3), [positions, 1, headDim]. */
function rotate(rope: Rope, at: readonly number[], headDim: number): number[] {
  const x = Array.from({ length: at.length * headDim }, (_, i) => Math.sin(0.7 * i + 0.3));
  return scope(() => {
    const y = mx.contiguous(rope.forward(floats(x, [at.length, 1, headDim]), ints(at)));
    evaluate(y);
    return [...readFloats(y)];
  });
}

function largestDifference(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}

describe.each([
  ["by the CPU primitive", true],
  ["by MLX's operation", false],
])("%s", (_, kernels) => {
  test.each(cases.map((entry) => [entry.name, entry] as const))(
    "%s is what mlx-lm computes",
    (name, { config, head_dim, rotated }) => {
      const options = optionsOf(config, { dims: head_dim, ...(name.includes("partial") && { partial: 1 }) });
      expect(largestDifference(rotate(new Rope({ ...options, kernels }), positions, head_dim), rotated)).toBeLessThan(1e-4);
    },
  );

  test("a step's angles are not those of the step before", () => {
    const rope = new Rope({ ...optionsOf({}, { dims: 8 }), kernels });
    const first = rotate(rope, [0, 5], 8);
    const second = rotate(rope, [7, 5], 8);
    expect(largestDifference(first.slice(8), second.slice(8))).toBeLessThan(1e-6);
    expect(largestDifference(first.slice(0, 8), second.slice(0, 8))).toBeGreaterThan(0.1);
  });
});

describe("where a config says it", () => {
  const YARN = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64 };

  test("rope_parameters come before the older fields", () => {
    const config = { rope_theta: 1, rope_scaling: { type: "linear", factor: 2 }, rope_parameters: { ...YARN, rope_theta: 77 } };
    expect(optionsOf(config, { dims: 8 })).toMatchObject({ base: 77, scaling: { kind: "yarn", factor: 4 } });
  });

  test("rope_parameters without a kind leave the scaling to rope_scaling", () => {
    const config = { rope_scaling: { type: "linear", factor: 2 }, rope_parameters: { rope_theta: 77 } };
    expect(optionsOf(config, { dims: 8 })).toMatchObject({ base: 77, scaling: { kind: "linear", factor: 2 } });
  });

  test("an entry for each type of layer", () => {
    const config = { rope_parameters: { full_attention: { ...YARN, rope_theta: 9 }, sliding_attention: { rope_theta: 5 } } };
    expect(optionsOf(config, { dims: 8 })).toMatchObject({ base: 9, scaling: { kind: "yarn" } });
    expect(optionsOf(config, { dims: 8, layerType: "sliding_attention" })).toMatchObject({ base: 5, scaling: { kind: "none" } });
  });

  test("scaling may be for other layers; partial rotation is asked for", () => {
    const config = { rope_theta: 9, partial_rotary_factor: 0.5, rope_scaling: YARN };
    expect(optionsOf(config, { dims: 8, scaled: false })).toMatchObject({ dims: 8, base: 9, scaling: { kind: "none" } });
    expect(optionsOf(config, { dims: 8, partial: 0.25 }).dims).toBe(4);
    expect(optionsOf({}, { dims: 8, partial: 0.25 })).toMatchObject({ dims: 2, base: 10000, traditional: false });
    expect(optionsOf({}, { dims: 8, traditional: true, base: 3 })).toMatchObject({ base: 3, traditional: true });
  });

  test("kinds that change nothing for text within the context", () => {
    for (const type of ["default", "mrope", "dynamic"])
      expect(readRopeScaling(reader({ rope_scaling: { type } })).kind).toBe("none");
    expect(readRopeScaling(reader({ rope_scaling: null })).kind).toBe("none");
  });
});

test.each<[string, JsonObject, RegExp]>([
  ["an unknown kind", { rope_scaling: { type: "spiral" } }, /rope_scaling.*"spiral" is not supported/],
  ["a kind that is no string", { rope_scaling: { type: 3 } }, /rope_scaling.*type is 3/],
  ["no factor", { rope_scaling: { rope_type: "yarn" } }, /rope_scaling has no factor/],
  ["a factor of zero", { rope_scaling: { rope_type: "linear", factor: 0 } }, /factor is 0/],
  ["too few factors", { rope_scaling: { type: "longrope", long_factor: [1, 2] } }, /long_factor has 2 numbers for 4 pairs/],
  ["a negative factor", { rope_scaling: { type: "longrope", long_factor: [1, 2, -3, 4] } }, /makes no frequencies/],
  ["yarn without a base", { rope_theta: 1, rope_scaling: { type: "yarn", factor: 2 } }, /makes no frequencies/],
  ["an odd part", { partial_rotary_factor: 0.4 }, /partial_rotary_factor 0.4 of 8/],
  ["more than the whole", { partial_rotary_factor: 1.5 }, /partial_rotary_factor is 1.5/],
])("refused: %s", async (_, config, message) => {
  expect(await startupMessage(() => readRope(reader(config), { dims: 8, partial: 1 }))).toMatch(message);
});

/** What models with experts refuse, and layouts that no parity case has. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromFile, openMlx } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { convertOriginalExperts } from "../../src/models/architectures/gpt-oss-tensors.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { stackExperts } from "../../src/models/expert-tensors.ts";
import { splitLatentProjections } from "../../src/models/latent-tensors.ts";
import { loadModel, prepareModel } from "../../src/models/load.ts";
import { readSafetensorsHeader, type TensorInfo } from "../../src/models/safetensors.ts";
import { TensorSet } from "../../src/models/tensor-set.ts";
import { writeAdapter } from "./adapter-files.ts";
import { fixtures, isOneSentence, makeScratch, startupMessage, writeJson } from "./model-directories.ts";
import { floatContent, numbersOf, type TensorContent, writeContents } from "./tensor-files.ts";

const scratch = makeScratch();
afterAll(scratch.remove);
beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

let copies = 0;

/** A parity case with other entries in its config. */
function change(name: string, values: Record<string, unknown>): string {
  const directory = join(scratch.path, `model-${copies++}`);
  cpSync(join(fixtures, "parity", name), directory, { recursive: true });
  const path = join(directory, "config.json");
  writeJson(path, { ...JSON.parse(readFileSync(path, "utf8")), ...values });
  return directory;
}

const refusal = (directory: string) => startupMessage(async () => loadModel(await openCheckpoint(directory)));

describe("a config that cannot be", () => {
  test.each([
    ["qwen3_moe-stacked", { num_experts_per_tok: 9 }, "9 experts for each token cannot be chosen from 8"],
    ["qwen3_moe-original", { num_experts: 65536 }, "missing"],
    ["qwen3_moe-original", { num_experts: 7 }, "missing"],
    ["qwen3_moe-original", { num_experts: 4 }, "surplus"],
    ["deepseek_v3-groups", { n_group: 3 }, "8 experts cannot stand in 3 groups"],
    ["deepseek_v3-groups", { n_group: 8 }, "8 experts cannot stand in 8 groups"],
    ["deepseek_v3-groups", { topk_group: 5 }, "5 of 4 groups of experts cannot be chosen"],
    ["deepseek_v3-groups", { topk_group: 1 }, "1 groups of experts have fewer than the 3 that a token goes to"],
    ["deepseek_v3-groups", { topk_method: "greedy" }, 'topk_method "greedy" is not supported'],
    ["deepseek_v3-groups", { n_routed_experts: 2 ** 31 }, "n_routed_experts"],
    ["deepseek_v3-groups", { kv_lora_rank: 31 }, "misshapen"],
    ["kimi_k2-original", { qk_nope_head_dim: 65536 }, "cannot be"],
    ["kimi_k2-original", { v_head_dim: 23 }, "instead of"],
    ["ernie4_5_moe-original", { moe_layer_start_index: 9 }, "moe_layer_start_index"],
    ["minimax_m2-original", { rotary_dim: 11 }, "rotary_dim 11 is not an even number"],
    ["gpt_oss-original", { num_local_experts: 5 }, "misshapen"],
  ])("%s with %p", async (name, values, said) => {
    const message = await refusal(change(name, values));
    expect(message).toContain(said);
    expect(isOneSentence(message)).toBe(true);
  });
});

test("adapters of experts are refused by name", async () => {
  const module = "model.layers.0.mlp.switch_mlp.gate_proj";
  const path = writeAdapter(join(scratch.path, "adapter"), {
    format: "mlx",
    rank: 2,
    scale: 1,
    modules: { [module]: [64, 24] },
    seed: 1,
  });
  const model = await openCheckpoint(join(fixtures, "parity/qwen3_moe-stacked"));
  const message = await startupMessage(() => prepareModel(model, { adapters: [{ name: "a", path }] }));
  expect(message).toContain(`no linear layers for "${module}.lora_a"`);
});

test("experts are quantized on loading as other layers are, in the memory that was planned", async () => {
  const { weights } = await prepareModel(await openCheckpoint(join(fixtures, "parity/qwen3_moe-stacked")), { quantize: 4 });
  const bits = new Map(weights.matrices.map(({ prefix, quantization }) => [prefix, quantization?.bits ?? null]));
  const block = (name: string) => bits.get(`model.layers.0.mlp.${name}`);
  // Rows of 24 are no whole groups.
  expect([block("switch_mlp.gate_proj"), block("switch_mlp.down_proj"), block("gate")]).toEqual([4, null, 8]);
  await weights.load();
  expect(weights.bytes).toBe(weights.plannedBytes);
  weights.free();
});

const readStored = ({ path, offset, byteLength, mlxDtype, shape }: TensorInfo): MxArray =>
  fromFile(path, offset, byteLength, DTYPES[mlxDtype!], [...shape]);

async function openTensors(contents: Record<string, TensorContent>) {
  const path = join(scratch.path, `tensors-${copies++}.safetensors`);
  writeContents(path, contents);
  const set = new TensorSet((await readSafetensorsHeader(path)).tensors);
  return { set, numbers: (name: string) => [...numbersOf(() => set.read(name, readStored))] };
}

const counted = (shape: number[]) =>
  floatContent(
    shape,
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => i),
  );

test("gpt-oss' dense experts are transposed, gate and up taken from alternating columns", async () => {
  const { set, numbers } = await openTensors({
    "l.mlp.experts.gate_up_proj": counted([1, 2, 6]),
    "l.mlp.experts.gate_up_proj_bias": counted([1, 6]),
    "l.mlp.experts.down_proj": counted([1, 3, 2]),
  });
  convertOriginalExperts(set);
  expect(set.get("l.mlp.experts.gate_proj.weight")?.shape).toEqual([1, 3, 2]);
  expect(numbers("l.mlp.experts.gate_proj.weight")).toEqual([0, 6, 2, 8, 4, 10]);
  expect(numbers("l.mlp.experts.up_proj.weight")).toEqual([1, 7, 3, 9, 5, 11]);
  expect(numbers("l.mlp.experts.up_proj.bias")).toEqual([1, 3, 5]);
  expect(numbers("l.mlp.experts.down_proj.weight")).toEqual([0, 2, 4, 1, 3, 5]);
});

test("experts are stacked in their order, quantized ones too, and left alone when one is missing", async () => {
  const one = (value: number) => floatContent([1, 2], Float32Array.of(value, value + 0.5));
  const { set, numbers } = await openTensors({
    "l.mlp.experts.1.w1.weight": one(1),
    "l.mlp.experts.0.w1.weight": one(0),
    "l.mlp.experts.2.w1.weight": one(2),
    "l.mlp.experts.0.w2.scales": one(7),
    "l.mlp.experts.2.w2.scales": one(8),
  });
  stackExperts(set, { count: 3, names: { w1: "gate_proj" } });
  expect(numbers("l.mlp.switch_mlp.gate_proj.weight")).toEqual([0, 0.5, 1, 1.5, 2, 2.5]);
  expect(set.names().sort()).toEqual([
    "l.mlp.experts.0.w2.scales",
    "l.mlp.experts.2.w2.scales",
    "l.mlp.switch_mlp.gate_proj.weight",
  ]);
});

test("kv_b_proj has each head's keys, then its values", async () => {
  const shape = { heads: 2, rank: 2, plainDim: 1, valueDim: 2 };
  const { set, numbers } = await openTensors({ "a.kv_b_proj.weight": counted([6, 2]) });
  splitLatentProjections(set, shape);
  expect(numbers("a.embed_q.weight")).toEqual([0, 1, 6, 7]);
  expect(numbers("a.unembed_out.weight")).toEqual([2, 3, 4, 5, 8, 9, 10, 11]);
});

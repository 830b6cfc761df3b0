/** What models with recurrent layers refuse, and that nothing depends on how a prompt is cut. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { loadModel, prepareModel } from "../../src/models/load.ts";
import { Prng } from "../engine/prng.ts";
import { Driver } from "../parity/driver.ts";
import { fixtures, isOneSentence, makeScratch, startupMessage, writeJson } from "./model-directories.ts";

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
  // Published configs hold a bare Infinity.
  const config = JSON.parse(readFileSync(path, "utf8").replaceAll("Infinity", "1e9"));
  writeJson(path, { ...config, ...values });
  return directory;
}

describe("a config that cannot be", () => {
  test.each([
    ["mamba2", { n_groups: 4 }, "6 heads of Mamba cannot share 4 groups"],
    ["mamba2", { conv_kernel: 1 }, "conv_kernel"],
    ["mamba2", { conv_kernel: 17 }, "conv_kernel"],
    ["mamba2", { conv_kernel: 3 }, "misshapen"],
    ["mamba2", { time_step_limit: [2, 1] }, "time_step_limit goes from 2 to 1"],
    ["mamba2", { time_step_limit: [0] }, "a list of 2 numbers"],
    ["mamba2", { state_size: 2 ** 30 }, "state_size"],
    ["lfm2", { full_attn_idxs: null }, "layer_types"],
    ["lfm2", { full_attn_idxs: null, layer_types: ["conv"] }, "layer_types has 1 entries for 4 layers"],
    ["lfm2", { block_ff_dim: 200 }, "misshapen"],
    ["lfm2_moe-original", { num_experts_per_tok: 7 }, "7 experts for each token cannot be chosen from 6"],
    ["falcon_h1", { mamba_n_heads: 5, mamba_n_groups: 2 }, "5 heads of Mamba cannot share 2 groups"],
    ["falcon_h1-original", { ssm_multipliers: [1, 2] }, "a list of 5 numbers"],
    ["falcon_h1-original", { mamba_d_ssm: 2 ** 31 - 1 }, "multipliers"],
    ["nemotron_h", { hybrid_override_pattern: "M-MX-" }, 'unknown kind of block "X"'],
    ["nemotron_h", { hybrid_override_pattern: null }, "layers_block_type"],
    ["nemotron_h-experts", { n_group: 4 }, "6 experts cannot stand in 4 groups"],
    ["qwen3_next-stacked", { linear_num_key_heads: 3 }, "4 value heads of the delta net cannot share 3 key heads"],
    ["qwen3_next-stacked", { partial_rotary_factor: 0.1 }, "partial_rotary_factor"],
    ["granitemoehybrid-original", { layer_types: ["mamba", "attention", "conv"] }, 'the unknown entry "conv"'],
  ])("%s with %p", async (name, values, said) => {
    const message = await startupMessage(async () => loadModel(await openCheckpoint(change(name, values))));
    expect(message).toContain(said);
    expect(isOneSentence(message)).toBe(true);
  });
});

test.each(["mamba2", "qwen3_5-nested", "nemotron_h-experts"])("%s takes the memory that was planned", async (name) => {
  const prepared = await prepareModel(await openCheckpoint(join(fixtures, "parity", name)));
  await prepared.weights.load();
  expect(prepared.weights.bytes).toBe(prepared.weights.plannedBytes);
  prepared.weights.free();
});

test.each(["mamba2", "lfm2-original", "falcon_h1", "nemotron_h", "qwen3_next-stacked"])(
  "the logits of %s do not depend on how the prompt is cut",
  async (name) => {
    const loaded = await loadModel(await openCheckpoint(join(fixtures, "parity", name)));
    const random = new Prng(1);
    const prompt = Array.from({ length: 150 }, () => random.int(0, loaded.model.vocabSize - 1));
    const lastLogits = [150, 64, 65, 7, 1].map((size) => {
      const driver = new Driver(loaded, 256, 150);
      let last: Float32Array = new Float32Array();
      for (let at = 0; at < prompt.length; at += size) {
        last = driver.step([{ sequence: 0, ids: prompt.slice(at, at + size) }])[0]!;
      }
      driver.free();
      return last.slice(-loaded.model.vocabSize);
    });
    loaded.free();
    const [whole] = lastLogits;
    for (const logits of lastLogits) logits.forEach((value, i) => void expect(Math.abs(value - whole![i]!)).toBeLessThan(3e-5));
  },
);

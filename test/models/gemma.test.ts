import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { cacheOwners } from "../../src/models/kv-sharing.ts";
import { prepareModel } from "../../src/models/load.ts";
import type { JsonObject } from "../../src/models/model-config.ts";
import { fixtures, startupMessage } from "./model-directories.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

/** A parity case with another config. */
async function prepare(name: string, change: (config: Record<string, unknown>, text: Record<string, unknown>) => void) {
  const checkpoint = await openCheckpoint(join(fixtures, "parity", name));
  const config = structuredClone(checkpoint.config) as Record<string, unknown>;
  change(config, (config.text_config ?? config) as Record<string, unknown>);
  return prepareModel({ ...checkpoint, config: config as JsonObject });
}

describe("layers that share keys and values", () => {
  test("read the last layer of their kind that has its own", () => {
    expect(cacheOwners(["window", "full", "window", "full", "window"], 3)).toEqual([0, 1, 2, 1, 2]);
    expect(cacheOwners(["full", "full"], 2)).toEqual([0, 1]);
  });

  test("must have one", async () => {
    const message = await startupMessage(() => cacheOwners(["window", "window", "full"], 2));
    expect(message).toContain("layer 2 has no full layer to share");
  });

  test("have no cache of their own", async () => {
    const { model } = await prepare("gemma4-e2b", () => {});
    expect(model.caches.map(({ kind }) => kind)).toEqual(["window", "window", "full"]);
  });
});

describe("configs as they are published", () => {
  test("leave out what all models of the family have in common", async () => {
    const { model } = await prepare("gemma3-nested-q4", (config, text) => {
      delete text.rope_theta;
      delete text.rope_local_base_freq;
      delete text.sliding_window_pattern;
      delete text.vocab_size;
      config.vocab_size = 256;
    });
    expect(model.vocabSize).toBe(256);
    expect(model.caches.map(({ kind }) => kind).join(" ")).toBe(`${"window ".repeat(5)}full window`);
  });

  test("may say that logits are not capped", async () => {
    const { model } = await prepare("gemma4-e2b", (_, text) => {
      text.final_logit_softcapping = null;
    });
    expect(model.contextLength).toBe(4096);
  });
});

const refused: [name: string, changes: Record<string, unknown>, words: string][] = [
  ["gemma3n", { activation_sparsity_pattern: [0.5, 1, 0, 0, 0] }, "activation_sparsity_pattern must be from 0 to less than 1"],
  ["gemma3n", { activation_sparsity_pattern: [0.5, 0.5] }, "activation_sparsity_pattern has 2 entries for 5 layers"],
  ["gemma3n", { intermediate_size: [32, 32] }, "intermediate_size has 2 entries for 5 layers"],
  ["gemma3n", { altup_active_idx: 4 }, "altup_active_idx is 4 but must be a whole number from 0 to 3"],
  ["gemma3n", { num_kv_shared_layers: 6 }, "num_kv_shared_layers is 6 but must be a whole number from 0 to 5"],
  ["gemma3n", { num_kv_shared_layers: 5 }, "layer 0 has no window layer to share keys and values with"],
  ["gemma4-e2b", { layer_types: ["full_attention"] }, "layer_types has 1 entries for 5 layers"],
  ["gemma4-e2b", { hidden_size_per_layer_input: 9 }, "misshapen tensors"],
  ["gemma4_text-moe", { num_global_key_value_heads: 3 }, "4 heads of 24 do not fit 3 key-value heads in full_attention layers"],
  ["gemma4_text-moe", { top_k_experts: 7 }, "7 experts for each token cannot be chosen from 6"],
  ["gemma2", { query_pre_attn_scalar: 0 }, "query_pre_attn_scalar is 0 but must be a finite number"],
  ["gemma3_text", { sliding_window_pattern: 0 }, "sliding_window_pattern is 0"],
  ["llama4-chunked", { num_experts_per_tok: 2 }, "only one expert for each token is supported"],
  ["llama4_text-dense", { no_rope_layers: [1] }, "no_rope_layers has 1 entries for 3 layers"],
  ["mistral3-llama", { model_type: "mistral4" }, '"mistral4" is not supported'],
];

test.each(refused)("%s with %j is refused", async (name, changes, words) => {
  expect(await startupMessage(() => prepare(name, (_, text) => Object.assign(text, changes)))).toContain(words);
});

test("tensors of other modalities are left aside, unknown ones are not", async () => {
  const checkpoint = await openCheckpoint(join(fixtures, "parity/gemma3-nested-q4"));
  const tensors = new Map(checkpoint.tensors);
  const first = [...tensors.values()][0]!;
  tensors.set("vision_tower.anything", first);
  await prepareModel({ ...checkpoint, tensors });
  tensors.set("language_model.model.anything", first);
  expect(await startupMessage(() => prepareModel({ ...checkpoint, tensors }))).toContain(
    'surplus tensor: "language_model.model.anything"',
  );
});

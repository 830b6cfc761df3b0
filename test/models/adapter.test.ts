import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Batch } from "../../src/kv/cache.ts";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { checkAdapterNames, readAdapter } from "../../src/models/adapter.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { type LoadedModel, loadModel } from "../../src/models/load.ts";
import { Driver } from "../parity/driver.ts";
import { writeConfig } from "./adapter-files.ts";
import { adapterScratch, loadWith, MODEL, PEFT, PLAN } from "./adapter-scratch.ts";
import { fixtures, startupMessage } from "./model-directories.ts";

const IDS = [37, 8, 206, 190, 207];
const { make } = adapterScratch();
beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

/** Logits of all positions, with each of the adapters, each computed by itself. */
function logitsOf(loaded: LoadedModel, adapters: readonly number[]): Float32Array[] {
  return adapters.map((adapter) => {
    const driver = new Driver(loaded);
    try {
      return driver.step([{ sequence: 0, ids: IDS, adapter }])[0]!;
    } finally {
      driver.free();
    }
  });
}

function distance(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
}

describe("what is read", () => {
  test("mlx-lm's own adapter", async () => {
    const { updates } = await readAdapter(join(MODEL, "adapters"));
    expect([...updates.keys()].sort()).toEqual([
      "model.layers.1.mlp.down_proj",
      "model.layers.1.self_attn.q_proj",
      "model.layers.2.mlp.down_proj",
      "model.layers.2.self_attn.q_proj",
    ]);
    const down = updates.get("model.layers.1.mlp.down_proj")!;
    expect(down).toMatchObject({ inDim: 80, outDim: 64, rank: 4, scale: 10, transposed: false });
  });

  test("PEFT's scale is alpha / r, or alpha / sqrt(r)", async () => {
    const directory = make({ format: "peft", rank: 4 });
    const config = { peft_type: "LORA", r: 4, lora_alpha: 6, target_modules: ["q_proj", "v_proj", "down_proj"] };
    const scaleOf = async () => (await readAdapter(directory)).updates.get("model.layers.2.mlp.down_proj")!.scale;
    writeConfig(directory, config);
    expect(await scaleOf()).toBe(1.5);
    writeConfig(directory, { ...config, use_rslora: true });
    expect(await scaleOf()).toBe(3);
    const rest = { rank_pattern: {}, alpha_pattern: null, use_dora: false, modules_to_save: [], init_lora_weights: true };
    for (const target_modules of [".*_proj", "all-linear"]) {
      writeConfig(directory, { ...config, ...rest, target_modules });
      expect(await scaleOf()).toBe(1.5);
    }
  });

  test("PEFT's ranks and alphas of single modules", async () => {
    const directory = make({ format: "peft", rank: 4 });
    const sizes = async (more: object) => {
      writeConfig(directory, { peft_type: "LORA", r: 4, lora_alpha: 8, target_modules: null, ...more });
      const { updates } = await readAdapter(directory);
      return ["self_attn.q_proj", "self_attn.v_proj"].map((name) => {
        const { rank, scale } = updates.get(`model.layers.0.${name}`)!;
        return [rank, scale];
      });
    };
    const one = [
      [4, 5],
      [4, 2],
    ];
    expect(await sizes({ alpha_pattern: { q_proj: 20, "self_attn.q_proj": 1 } })).toEqual(one);
    expect(await sizes({ alpha_pattern: { "^model\\.layers\\.0\\.self_attn\\.q_proj": 20, "^v_proj": 1, proj: 2 } })).toEqual(
      one,
    );
    const ranks = { r: 9, rank_pattern: { q_proj: 4, v_proj: 4, "layers.2.mlp.down_proj": 4 } };
    expect(await sizes({ ...ranks, use_rslora: true })).toEqual([
      [4, 4],
      [4, 4],
    ]);
    expect(await startupMessage(() => sizes({ r: 9, rank_pattern: { q_proj: 4 } }))).toContain("of rank 9");
    const pattern = { alpha_pattern: { "layers\\.\\d+\\.q_proj": 1 } };
    expect(await startupMessage(() => sizes(pattern))).toContain("only names");
  });

  test("an adapter for another nesting of the model", async () => {
    const nested = Object.entries(PLAN.modules).map(([name, dims]) => [
      `model.language_model.${name.slice("model.".length)}`,
      dims,
    ]);
    const [plain, other] = [make(), make({ format: "peft", modules: Object.fromEntries(nested) })];
    writeConfig(other, { ...PEFT, lora_alpha: 6 });
    const loaded = await loadWith(plain, other);
    const [one, two] = logitsOf(loaded, [1, 2]);
    loaded.free();
    expect(distance(one!, two!)).toBe(0);
  });
});

describe("what is computed", () => {
  test("both formats are the same; ranks may differ; the model without one stays as it is", async () => {
    const peft = make({ format: "peft" });
    const other = make({ rank: 9, seed: 50 });
    const [plain, single, loaded] = [await loadWith(), await loadWith(make()), await loadWith(make(), peft, other)];
    try {
      const [base, mlx, same, different] = logitsOf(loaded, [0, 1, 2, 3]);
      expect(distance(mlx!, same!)).toBe(0);
      expect(distance(base!, logitsOf(plain, [0])[0]!)).toBe(0);
      expect(distance(mlx!, logitsOf(single, [1])[0]!)).toBeLessThan(1e-4);
      for (const [a, b] of [
        [base, mlx],
        [mlx, different],
        [base, different],
      ]) {
        expect(distance(a!, b!)).toBeGreaterThan(0.5);
      }
      expect(loaded.adapters).toEqual(["adapter-0", "adapter-1", "adapter-2"]);
      expect(loaded.bytes).toBeGreaterThan(plain.bytes);
    } finally {
      for (const each of [plain, single, loaded]) each.free();
    }
  });

  test("rows with different adapters and with none, in one batch", async () => {
    const loaded = await loadWith(make(), make({ format: "peft", rank: 5, seed: 9 }));
    const adapters = [2, 0, 1, 0, 2];
    const driver = new Driver(loaded);
    try {
      const mixed = driver.step(adapters.map((adapter, sequence) => ({ sequence, ids: IDS, adapter })));
      const alone = logitsOf(loaded, adapters);
      for (const [i, logits] of mixed.entries()) expect(distance(logits, alone[i]!)).toBeLessThan(1e-4);
    } finally {
      driver.free();
      loaded.free();
    }
  });

  test("an untied head can have an update, quantized layers too", async () => {
    for (const [name, module] of [
      ["llama-lora", "lm_head"],
      ["llama-q4-g64", "model.layers.0.mlp.up_proj"],
    ] as const) {
      const checkpoint = await openCheckpoint(join(fixtures, "parity", name));
      const { shape } = checkpoint.tensors.get(`${module}.weight`)!;
      const quantized = checkpoint.tensors.has(`${module}.scales`);
      const path = make({ format: "peft", modules: { [module]: [quantized ? shape[1]! * 8 : shape[1]!, shape[0]!] } });
      const loaded = await loadModel(checkpoint, { adapters: [{ name: "a", path }] });
      const [base, adapted] = logitsOf(loaded, [0, 1]);
      expect(distance(base!, adapted!)).toBeGreaterThan(0.01);
      loaded.free();
    }
  });

  test("a step in which nobody has an adapter knows nothing of them", async () => {
    const loaded = await loadWith(make());
    const seen: boolean[] = [];
    const model = {
      ...loaded.model,
      vocabSize: loaded.model.vocabSize,
      forward: (batch: Batch) => {
        seen.push(batch.adapters !== null);
        return loaded.model.forward(batch);
      },
    };
    logitsOf({ ...loaded, model }, [0, 1]);
    expect(seen).toEqual([false, true]);
    loaded.free();
  });
});

test("names", async () => {
  const taken = ["org/model", "default", "model"];
  checkAdapterNames([], taken);
  checkAdapterNames(["a", "chef-2.1_b", "x".repeat(100)], taken);
  const refused: [names: string[], word: string][] = [
    [["a", "a"], "twice"],
    [["default"], "model's own"],
    [["model"], "model's own"],
    [[""], "letters"],
    [["a/b"], "letters"],
    [["a:b"], "letters"],
    [["a b"], "letters"],
    [["x".repeat(101)], "letters"],
  ];
  for (const [names, word] of refused) {
    expect(await startupMessage(() => checkAdapterNames(names, taken))).toContain(word);
  }
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Batch } from "../../src/kv/cache.ts";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { checkAdapterNames, readAdapter } from "../../src/models/adapter.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { type LoadedModel, loadModel } from "../../src/models/load.ts";
import { Driver } from "../parity/driver.ts";
import { type AdapterPlan, writeAdapter, writeConfig } from "./adapter-files.ts";
import { fixtures, headerBytes, isOneSentence, makeScratch, startupMessage, writeTensors } from "./model-directories.ts";

const MODEL = join(fixtures, "parity/llama-lora");
const IDS = [37, 8, 206, 190, 207];
/** Of the model in MODEL: 64 wide, 80 in the MLP, 32 for keys and values. */
const PLAN: AdapterPlan = {
  format: "mlx",
  rank: 3,
  scale: 2,
  seed: 1,
  modules: {
    "model.layers.0.self_attn.q_proj": [64, 64],
    "model.layers.0.self_attn.v_proj": [64, 32],
    "model.layers.2.mlp.down_proj": [80, 64],
  },
};

const scratch = makeScratch();
afterAll(scratch.remove);
beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

let directories = 0;
const place = () => join(scratch.path, `adapter-${directories++}`);
const make = (plan: Partial<AdapterPlan> = {}) => writeAdapter(place(), { ...PLAN, ...plan });

async function load(...paths: string[]): Promise<LoadedModel> {
  return loadModel(await openCheckpoint(MODEL), { adapters: paths.map((path, i) => ({ name: `adapter-${i}`, path })) });
}

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
    const loaded = await load(plain, other);
    const [one, two] = logitsOf(loaded, [1, 2]);
    loaded.free();
    expect(distance(one!, two!)).toBe(0);
  });
});

describe("what is computed", () => {
  test("both formats are the same; ranks may differ; the model without one stays as it is", async () => {
    const peft = make({ format: "peft" });
    const other = make({ rank: 9, seed: 50 });
    const [plain, single, loaded] = [await load(), await load(make()), await load(make(), peft, other)];
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
    const loaded = await load(make(), make({ format: "peft", rank: 5, seed: 9 }));
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
    const loaded = await load(make());
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

const MLX = { fine_tune_type: "lora", num_layers: -1, lora_parameters: { rank: 3, scale: 2 } };
const PEFT = { peft_type: "LORA", r: 3, lora_alpha: 6, target_modules: null };
const Q = "model.layers.0.self_attn.q_proj";

describe("what is refused, before anything is loaded", () => {
  const configs: [name: string, format: "mlx" | "peft", config: object, words: string[]][] = [
    ["a config of neither kind", "mlx", {}, ["neither mlx-lm's"]],
    ["dora", "mlx", { ...MLX, fine_tune_type: "dora" }, ['"dora"', 'only "lora"']],
    ["full", "mlx", { ...MLX, fine_tune_type: "full" }, ['"full"']],
    ["no parameters", "mlx", { fine_tune_type: "lora" }, ["no lora_parameters"]],
    ["no rank", "mlx", { ...MLX, lora_parameters: { scale: 2 } }, ["no rank"]],
    ["rank 0", "mlx", { ...MLX, lora_parameters: { rank: 0, scale: 2 } }, ["rank is 0"]],
    ["no scale", "mlx", { ...MLX, lora_parameters: { rank: 3, alpha: 2 } }, ["no scale"]],
    ["another rank", "mlx", { ...MLX, lora_parameters: { rank: 4, scale: 2 } }, [".lora_a", "of rank 4", "[64, 3]"]],
    ["unnamed modules", "mlx", { ...MLX, lora_parameters: { rank: 3, scale: 2, keys: ["self_attn.q_proj"] } }, ["does not name"]],
    [
      "modules that are not there",
      "mlx",
      {
        ...MLX,
        lora_parameters: { rank: 3, scale: 2, keys: ["self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj", "mlp.x"] },
      },
      ["no tensors", '"mlp.x"'],
    ],
    ["more layers than told", "mlx", { ...MLX, num_layers: 1 }, ["2 layers", "num_layers"]],
    ["another method", "peft", { ...PEFT, peft_type: "IA3" }, ['"IA3"']],
    ["DoRA in PEFT", "peft", { ...PEFT, use_dora: true }, ["use_dora"]],
    ["ranks by pattern", "peft", { ...PEFT, rank_pattern: { ".*q_proj": 8 } }, ["rank_pattern", "only names"]],
    ["whole modules", "peft", { ...PEFT, modules_to_save: ["lm_head"] }, ["modules_to_save"]],
    ["new tokens", "peft", { ...PEFT, trainable_token_indices: [1] }, ["trainable_token_indices"]],
    ["biases", "peft", { ...PEFT, bias: "all" }, ['bias "all"']],
    ["PiSSA", "peft", { ...PEFT, init_lora_weights: "pissa_niter_4" }, ['"pissa_niter_4"']],
    ["no r", "peft", { ...PEFT, r: undefined }, ["no r"]],
    ["an endless alpha", "peft", { ...PEFT, lora_alpha: "inf" }, ["lora_alpha"]],
    [
      "a target that is not there",
      "peft",
      { ...PEFT, target_modules: ["q_proj", "v_proj", "down_proj", "c_attn"] },
      ['"c_attn"'],
    ],
    ["another r", "peft", { ...PEFT, r: 5 }, ["lora_A.weight", "of rank 5", "[5, in]"]],
  ];
  test.each(configs)("%s", async (_, format, config, words) => {
    const directory = make({ format });
    writeConfig(directory, config);
    const message = await startupMessage(() => load(directory));
    expect(isOneSentence(message), message).toBe(true);
    for (const word of [directory, ...words]) expect(message).toContain(word);
  });

  const files: [name: string, change: (path: (name: string) => string) => void, words: string[]][] = [
    ["no config", (path) => rmSync(path("adapter_config.json")), ["adapter_config.json does not exist"]],
    ["no tensors' file", (path) => rmSync(path("adapters.safetensors")), ["adapters.safetensors does not exist"]],
    ["a config that is no JSON", (path) => writeFileSync(path("adapter_config.json"), "{"), ["is not JSON"]],
    ["a file cut short", (path) => truncateSync(path("adapters.safetensors"), 2000), ["cut short"]],
    ["no tensors", (path) => writeTensors(path("adapters.safetensors"), {}), ["no tensors"]],
    [
      "an embedding",
      (path) =>
        writeTensors(path("adapters.safetensors"), {
          "model.embed_tokens.lora_a": [256, 3],
          "model.embed_tokens.lora_b": [3, 64],
        }),
      ["model.embed_tokens", "only linear layers"],
    ],
    ["half a pair", (path) => writeTensors(path("adapters.safetensors"), { [`${Q}.lora_a`]: [64, 3] }), [`${Q}.lora_a`, "half"]],
    [
      "a tensor of DoRA's",
      (path) =>
        writeTensors(path("adapters.safetensors"), { [`${Q}.lora_a`]: [64, 3], [`${Q}.lora_b`]: [3, 64], [`${Q}.m`]: [64] }),
      [`${Q}.m`, "not part"],
    ],
    [
      "three dimensions",
      (path) => writeTensors(path("adapters.safetensors"), { [`${Q}.lora_a`]: [8, 64, 3], [`${Q}.lora_b`]: [3, 64] }),
      [`${Q}.lora_a`, "[8, 64, 3]", "[in, 3]"],
    ],
    [
      "another rank in b",
      (path) => writeTensors(path("adapters.safetensors"), { [`${Q}.lora_a`]: [64, 3], [`${Q}.lora_b`]: [4, 64] }),
      [`${Q}.lora_b`, "[4, 64]", "[3, out]"],
    ],
    [
      "another input",
      (path) => writeTensors(path("adapters.safetensors"), { [`${Q}.lora_a`]: [63, 3], [`${Q}.lora_b`]: [3, 64] }),
      [`${Q}.lora_a`, "[63, 3]", "[64, 3]"],
    ],
    [
      "another output",
      (path) => writeTensors(path("adapters.safetensors"), { [`${Q}.lora_a`]: [64, 3], [`${Q}.lora_b`]: [3, 65] }),
      [`${Q}.lora_b`, "[3, 65]", "[3, 64]"],
    ],
    [
      "an unknown module",
      (path) =>
        writeTensors(path("adapters.safetensors"), {
          "model.layers.0.c_attn.lora_a": [64, 3],
          "model.layers.0.c_attn.lora_b": [3, 64],
        }),
      ["model.layers.0.c_attn", "no linear layers"],
    ],
    [
      "a layer that the model does not have",
      (path) =>
        writeTensors(path("adapters.safetensors"), {
          "model.layers.3.mlp.up_proj.lora_a": [64, 3],
          "model.layers.3.mlp.up_proj.lora_b": [3, 80],
        }),
      ["model.layers.3.mlp.up_proj"],
    ],
    [
      "whole numbers",
      (path) => {
        const tensor = (begin: number, shape: number[]) => ({ dtype: "I32", shape, data_offsets: [begin, begin + 768] });
        const header = headerBytes(
          JSON.stringify({ [`${Q}.lora_a`]: tensor(0, [64, 3]), [`${Q}.lora_b`]: tensor(768, [3, 64]) }),
        );
        writeFileSync(path("adapters.safetensors"), Buffer.concat([header, Buffer.alloc(1536)]));
      },
      [`${Q}.lora_a`, "I32"],
    ],
  ];
  test.each(files)("%s", async (_, change, words) => {
    const directory = make();
    writeConfig(directory, MLX);
    change((name) => join(directory, name));
    const message = await startupMessage(() => load(directory));
    expect(isOneSentence(message), message).toBe(true);
    for (const word of [directory, ...words]) expect(message).toContain(word);
  });

  test("a path that is no directory, or not there", async () => {
    expect(await startupMessage(() => load(join(scratch.path, "none")))).toContain("none/adapter_config.json does not exist");
    expect(await startupMessage(() => load(join(MODEL, "config.json")))).toContain("config.json");
  });

  test("a file whose header lies anywhere", async () => {
    const directory = place();
    cpSync(join(MODEL, "adapters"), directory, { recursive: true });
    const path = join(directory, "adapters.safetensors");
    const bytes = readFileSync(path);
    for (let at = 0; at < 900; at += 7) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 0x15;
      writeFileSync(path, changed);
      // Some changes, such as in the metadata, do no harm.
      const message = await startupMessage(async () => {
        (await load(directory)).free();
        throw new Error("fine");
      }).catch((error: Error) => error.message);
      expect(message === "fine" || isOneSentence(message), message).toBe(true);
    }
  });
});

test("PEFT's updates of embeddings are refused", async () => {
  const directory = make({ format: "peft" });
  const name = "base_model.model.model.embed_tokens.lora_embedding_A";
  writeTensors(join(directory, "adapter_model.safetensors"), { [name]: [3, 256] });
  expect(await startupMessage(() => readAdapter(directory))).toContain("is an update of an embedding");
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

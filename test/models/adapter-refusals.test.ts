import { beforeAll, describe, expect, test } from "bun:test";
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { readAdapter } from "../../src/models/adapter.ts";
import { writeConfig } from "./adapter-files.ts";
import { adapterScratch, loadWith, MODEL, PEFT } from "./adapter-scratch.ts";
import { headerBytes, isOneSentence, startupMessage, writeTensors } from "./model-directories.ts";

const scratch = adapterScratch();
const { make, place } = scratch;
beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const MLX = { fine_tune_type: "lora", num_layers: -1, lora_parameters: { rank: 3, scale: 2 } };
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
    const message = await startupMessage(() => loadWith(directory));
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
    const message = await startupMessage(() => loadWith(directory));
    expect(isOneSentence(message), message).toBe(true);
    for (const word of [directory, ...words]) expect(message).toContain(word);
  });

  test("a path that is no directory, or not there", async () => {
    expect(await startupMessage(() => loadWith(join(scratch.path, "none")))).toContain("none/adapter_config.json does not exist");
    expect(await startupMessage(() => loadWith(join(MODEL, "config.json")))).toContain("config.json");
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
        (await loadWith(directory)).free();
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

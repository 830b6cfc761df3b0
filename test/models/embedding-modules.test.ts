import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { StartupError } from "../../src/errors.ts";
import { readEmbeddingModules } from "../../src/models/embedding-modules.ts";
import { makeScratch, writeTensors } from "./model-directories.ts";

const scratch = makeScratch();
afterAll(scratch.remove);
let count = 0;

async function read(files: Record<string, unknown>) {
  const directory = join(scratch.path, `m${count++}`);
  mkdirSync(directory);
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    if (name.endsWith(".safetensors")) writeTensors(path, content as Record<string, number[]>);
    else writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  }
  return readEmbeddingModules(directory);
}

const module = (kind: string, path = "") => ({ type: `sentence_transformers.models.${kind}`, path });
const pooled = (pooling: object) => ({
  "modules.json": [module("Transformer"), module("Pooling", "1_Pooling")],
  "1_Pooling/config.json": pooling,
});

test("poolings in the order of sentence-transformers, by old names and by new ones", async () => {
  const all = {
    pooling_mode_lasttoken: true,
    pooling_mode_mean_tokens: true,
    pooling_mode_cls_token: true,
    pooling_mode_max_tokens: false,
  };
  expect((await read(pooled(all)))?.poolings).toEqual(["cls", "mean", "last"]);
  expect((await read(pooled({ pooling_mode: "lasttoken" })))?.poolings).toEqual(["last"]);
  expect((await read(pooled({ pooling_mode: ["weightedmean", "max"] })))?.poolings).toEqual(["max", "weighted-mean"]);
});

test("all that there is, and the defaults of what there is not", async () => {
  expect(await read({})).toBeNull();
  expect(await read({ "modules.json": [module("Transformer")] })).toEqual({
    poolings: ["mean"],
    dense: [],
    normalize: false,
    maxTokens: null,
    lowercase: false,
  });
  const whole = await read({
    "modules.json": [
      module("Transformer"),
      module("Pooling", "1_Pooling"),
      module("Dense", "2_Dense"),
      module("Normalize", "3_Normalize"),
    ],
    "1_Pooling/config.json": { pooling_mode_cls_token: true },
    "2_Dense/config.json": {
      in_features: 4,
      out_features: 2,
      bias: false,
      activation_function: "torch.nn.modules.linear.Identity",
    },
    "2_Dense/model.safetensors": { "linear.weight": [2, 4] },
    "sentence_bert_config.json": { max_seq_length: 256, do_lower_case: true },
  });
  expect(whole).toMatchObject({
    poolings: ["cls"],
    normalize: true,
    maxTokens: 256,
    lowercase: true,
    dense: [{ inDim: 4, outDim: 2, bias: false, activation: "none" }],
  });
  expect(whole?.dense[0]?.tensors.get("linear.weight")?.shape).toEqual([2, 4]);
});

test.each<[what: string, files: Record<string, unknown>, message: RegExp]>([
  ["no JSON", { "modules.json": "[{" }, /not JSON/],
  ["no list", { "modules.json": "{}" }, /not a list/],
  ["a number for a module", { "modules.json": [7] }, /without type and path/],
  ["a path to elsewhere", { "modules.json": [module("Pooling", "../x")] }, /not a directory of the model/],
  ["an absolute path", { "modules.json": [module("Pooling", "/etc")] }, /not a directory of the model/],
  ["a module that is not known", { "modules.json": [module("CNN", "1_CNN")] }, /"CNN" are not supported/],
  ["a pooling that is not there", { "modules.json": [module("Pooling", "1_Pooling")] }, /does not exist/],
  ["a pooling of another type", pooled({ pooling_mode_cls_token: 1 }), /pooling_mode_cls_token/],
  ["a pooling that is not known", pooled({ pooling_mode: "median" }), /"median" is not supported/],
  ["no pooling at all", pooled({ pooling_mode_cls_token: false }), /no pooling mode that is set/],
  [
    "an activation that is not known",
    {
      "modules.json": [module("Dense", "2_Dense")],
      "2_Dense/config.json": { in_features: 1, out_features: 1, activation_function: "os.system" },
    },
    /"os.system" is not supported/,
  ],
  ["a negative length", { "modules.json": [], "sentence_bert_config.json": { max_seq_length: -1 } }, /max_seq_length/],
])("%s is a StartupError that says so", async (_, files, message) => {
  const error: unknown = await read(files).catch((failure: unknown) => failure);
  expect(error).toBeInstanceOf(StartupError);
  expect((error as Error).message).toMatch(message);
});

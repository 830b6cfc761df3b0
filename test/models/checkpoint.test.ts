import { afterAll, describe, expect, test } from "bun:test";
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import {
  fixtures,
  INDEX,
  makeModel,
  makeScratch,
  makeSharded,
  repository,
  shard,
  startupMessage,
  writeJson,
  writeTensors,
} from "./model-directories.ts";

const scratch = makeScratch();
afterAll(scratch.remove);

/** Names in the headers of a directory's weight files, as a general JSON parser sees them. */
function namesInside(directory: string): string[] {
  const files = readdirSync(directory).filter((name) => /^model.*\.safetensors$/.test(name));
  return files.flatMap((name) => {
    const bytes = readFileSync(join(directory, name));
    const header: object = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0)))));
    return Object.keys(header).filter((key) => key !== "__metadata__");
  });
}

describe("the models of this repository", () => {
  const cases = readdirSync(join(fixtures, "parity"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  test.each(cases.map(({ name }) => name))("%s", async (name) => {
    const directory = join(fixtures, "parity", name);
    const checkpoint = await openCheckpoint(directory);
    expect([...checkpoint.tensors.keys()].sort()).toEqual(namesInside(directory).sort());
    expect(checkpoint.tensors.size).toBeGreaterThan(10);
    expect(typeof checkpoint.config.model_type).toBe("string");
    expect(checkpoint.tokenizerJson).toBeNull();
    expect(checkpoint.tokenizerConfig).toBeNull();
    expect(checkpoint.generationConfig).toBeNull();
    expect(checkpoint.chatTemplates).toEqual([]);
  });

  for (const [path, count, dtype] of [
    ["src/assets/tiny-chat", 56, "BF16"],
    ["test/fixtures/models/tiny-chat-4bit", 142, "U32"],
  ] as const) {
    test(path, async () => {
      const directory = join(repository, path);
      const checkpoint = await openCheckpoint(directory);
      expect(checkpoint.directory).toBe(directory);
      expect(checkpoint.tensors.size).toBe(count);
      expect(checkpoint.tensors.get("model.embed_tokens.weight")?.dtype).toBe(dtype);
      expect(checkpoint.tokenizerJson).toHaveProperty("model.vocab");
      expect(checkpoint.tokenizerConfig).toHaveProperty("chat_template");
      expect(checkpoint.generationConfig).toHaveProperty("eos_token_id");
    });
  }

  test("each tensor of a sharded model knows its file, and its bytes are where it says", async () => {
    const { tensors } = await openCheckpoint(join(fixtures, "parity/llama-headdim-sharded"));
    const files = new Set([...tensors.values()].map((tensor) => tensor.path));
    expect(files.size).toBe(2);
    for (const { path, offset, byteLength } of tensors.values()) {
      const values = new Float32Array(readFileSync(path).buffer.slice(offset, offset + byteLength));
      expect(values.every((value) => Number.isFinite(value) && Math.abs(value) < 100)).toBe(true);
    }
  });
});

describe("layouts", () => {
  test("several files without an index, as mlx-lm writes them", async () => {
    const model = makeModel(scratch.path, (path) => {
      writeTensors(path("model-extra.safetensors"), { c: [1] });
      writeTensors(path(shard(1, 2)), { a: [2] });
      writeTensors(path(shard(2, 2)), { b: [2] });
      writeTensors(path("adapters.safetensors"), { other: [1] });
    });
    expect([...(await openCheckpoint(model)).tensors.keys()].sort()).toEqual(["a", "b", "c"]);
  });

  test("weights*.safetensors when there is no model*.safetensors", async () => {
    const model = makeModel(scratch.path, (path) => {
      writeTensors(path("weights.00.safetensors"), { a: [2] });
      writeTensors(path("weights.01.safetensors"), { b: [2] });
    });
    expect((await openCheckpoint(model)).tensors.size).toBe(2);
  });

  test("an index reads only the files it names", async () => {
    const model = makeSharded(scratch.path);
    writeTensors(join(model, "model-old.safetensors"), { a: [9] });
    const { tensors } = await openCheckpoint(model);
    expect(tensors.get("a")?.shape).toEqual([2]);
    expect(tensors.get("b")?.path).toBe(join(model, shard(2, 2)));
  });

  test("an index left over from before a conversion is not followed", async () => {
    const model = makeModel(scratch.path, (path) => {
      writeTensors(path("model.safetensors"), { a: [2] });
      writeJson(path(INDEX), { weight_map: { a: shard(1, 2), b: shard(2, 2) } });
    });
    expect((await openCheckpoint(model)).tensors.size).toBe(1);
  });

  test("links out of the directory are followed, as the Hugging Face cache has them", async () => {
    const blobs = makeSharded(scratch.path);
    const model = join(scratch.path, "snapshot");
    mkdirSync(model);
    for (const name of readdirSync(blobs)) symlinkSync(join(blobs, name), join(model, name));
    expect((await openCheckpoint(`${model}/`)).tensors.size).toBe(2);
  });

  test("tensor names of JavaScript's own", async () => {
    const model = makeModel(scratch.path, (path) => {
      writeTensors(path("model.safetensors"), { ["__proto__"]: [1], constructor: [2] });
      writeFileSync(path(INDEX), '{"weight_map":{"__proto__":"model.safetensors","constructor":"model.safetensors"}}');
    });
    expect((await openCheckpoint(model)).tensors.get("__proto__")?.shape).toEqual([1]);
  });

  test("the chat templates of files of their own", async () => {
    const templates = async (files: Record<string, string>) => {
      const model = makeModel(scratch.path, (path) => {
        writeTensors(path("model.safetensors"), { a: [1] });
        mkdirSync(path("additional_chat_templates"));
        for (const [name, content] of Object.entries(files)) writeFileSync(path(name), content);
      });
      return Object.fromEntries((await openCheckpoint(model)).chatTemplates.map(({ name, template }) => [name, template]));
    };
    const json = '{"chat_template":"from json"}';
    expect(await templates({})).toEqual({});
    expect(await templates({ "chat_template.jinja": "{{ x }}\n", "chat_template.json": json })).toEqual({ default: "{{ x }}\n" });
    expect(await templates({ "chat_template.json": json })).toEqual({ default: "from json" });
    const named = '{"chat_template":[{"name":"rag","template":"r"},{"name":"default","template":"d"}]}';
    expect(await templates({ "chat_template.json": named })).toEqual({ rag: "r", default: "d" });
    const more = { "additional_chat_templates/tool_use.jinja": "t", "additional_chat_templates/notes.txt": "x" };
    expect(await templates({ "chat_template.jinja": "d", ...more })).toEqual({ default: "d", tool_use: "t" });
    for (const wrong of ['{"chat_template":7}', "{}", '{"chat_template":[]}', '{"chat_template":[{"name":1}]}']) {
      expect(await startupMessage(() => templates({ "chat_template.json": wrong }))).toContain("has no chat_template");
    }
  });

  test("older tokenizer files, where there is no tokenizer.json", async () => {
    const slow = async (files: Record<string, string>) => {
      const model = makeModel(scratch.path, (path) => {
        writeTensors(path("model.safetensors"), { a: [1] });
        for (const [name, content] of Object.entries(files)) writeFileSync(path(name), content);
      });
      return (await openCheckpoint(model)).slowTokenizer;
    };
    const nothing = { vocabulary: null, merges: null, vocabularyText: null, addedTokens: null, unreadable: [] };
    expect(await slow({})).toEqual(nothing);
    expect(await slow({ "tokenizer.json": "{}", "vocab.txt": "a" })).toBeNull();
    expect(await slow({ "vocab.json": '{"a":0}', "merges.txt": "a b", "tokenizer.model": "x" })).toEqual({
      ...nothing,
      vocabulary: { a: 0 },
      merges: "a b",
      unreadable: ["tokenizer.model"],
    });
  });
});

test("a model that is copied opens the same", async () => {
  const from = join(repository, "src/assets/tiny-chat");
  const to = join(scratch.path, "copy");
  cpSync(from, to, { recursive: true });
  copyFileSync(join(to, "config.json"), join(to, "notes.bin"));
  const [a, b] = [await openCheckpoint(from), await openCheckpoint(to)];
  expect([...b.tensors.keys()]).toEqual([...a.tensors.keys()]);
  expect(b.config).toEqual(a.config);
});

import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ServeError, StartupError } from "../../src/errors.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { fileError } from "../../src/models/model-file.ts";
import {
  fixtures,
  isOneSentence,
  makeModel,
  makeScratch,
  makeSharded,
  repository,
  shard,
  startupMessage,
  writeTensors,
} from "./model-directories.ts";

const scratch = makeScratch();
afterAll(scratch.remove);

const bad: [what: string, make: () => string, says: string][] = [
  ["no such directory", () => join(scratch.path, "nowhere"), "does not exist"],
  ["a file", () => join(repository, "package.json"), "is a file; a model is a directory"],
  ["no config", () => makeModel(scratch.path, (path) => rmSync(path("config.json"))), "it has no config.json"],
  ["an empty config", () => makeModel(scratch.path, (path) => writeFileSync(path("config.json"), "")), "config.json is empty"],
  [
    "a config cut short",
    () => makeModel(scratch.path, (path) => writeFileSync(path("config.json"), '{"a":')),
    "config.json is not JSON",
  ],
  [
    "a config that is a list",
    () => makeModel(scratch.path, (path) => writeFileSync(path("config.json"), "[1]")),
    "is not a JSON object but a list of 1",
  ],
  [
    "a config that is a directory",
    () =>
      makeModel(scratch.path, (path) => {
        rmSync(path("config.json"));
        mkdirSync(path("config.json"));
      }),
    "config.json is a directory where a file is needed",
  ],
  [
    "a config that is a link to nothing",
    () => makeModel(scratch.path, (path) => relink(path("config.json"), "gone")),
    "config.json does not exist",
  ],
  [
    "a config that never ends",
    () => makeModel(scratch.path, (path) => relink(path("config.json"), "/dev/zero")),
    "is not a regular file",
  ],
  [
    "a huge config",
    () => makeModel(scratch.path, (path) => writeFileSync(path("config.json"), " ".repeat(2 ** 24 + 1))),
    "more than the 16777216",
  ],
  ["nothing but a config", () => makeModel(scratch.path, () => {}), "has no weights: safetensors files are needed"],
  [
    "PyTorch weights",
    () => makeModel(scratch.path, (path) => writeFileSync(path("pytorch_model.bin"), "x")),
    "only as pytorch_model.bin",
  ],
  [
    "GGUF weights",
    () => makeModel(scratch.path, (path) => writeFileSync(path("m-Q4.gguf"), "x")),
    "but safetensors files are needed",
  ],
  [
    "foreign safetensors",
    () => makeModel(scratch.path, (path) => writeTensors(path("consolidated.safetensors"), { a: [1] })),
    "only consolidated.safe",
  ],
  ["no tensors", () => makeModel(scratch.path, (path) => writeTensors(path("model.safetensors"), {})), "hold no tensors"],
  [
    "an empty weight file",
    () => makeModel(scratch.path, (path) => writeFileSync(path("model.safetensors"), "")),
    "model.safetensors is empty",
  ],
  [
    "a part that is missing",
    () => makeModel(scratch.path, (path) => writeTensors(path(shard(2, 3)), { a: [1] })),
    `${shard(1, 3)}, ${shard(3, 3)}`,
  ],
  [
    "a tensor in two files",
    () =>
      makeModel(scratch.path, (path) => {
        writeTensors(path(shard(1, 2)), { a: [1] });
        writeTensors(path(shard(2, 2)), { a: [1] });
      }),
    'tensor "a" is in two files',
  ],
  [
    "an indexed file that is missing",
    () => makeSharded(scratch.path, { a: shard(1, 2), b: shard(3, 3) }),
    `lacks 1 weight file: ${shard(3, 3)}`,
  ],
  [
    "a tensor that is not there",
    () => makeSharded(scratch.path, { a: shard(1, 2), b: shard(2, 2), c: shard(2, 2) }),
    `1 tensor that the files do`,
  ],
  [
    "a tensor in another file",
    () => makeSharded(scratch.path, { a: shard(2, 2), b: shard(1, 2) }),
    'names 2 tensors that the files do not have: "a" in',
  ],
  ["an index without a map", () => makeSharded(scratch.path, null), "weight_map is null but must be an object"],
  ["an index of lists", () => makeSharded(scratch.path, []), "weight_map is a list of 0"],
  ["an empty index", () => makeSharded(scratch.path, {}), "weight_map names no tensors"],
  ["a generation config that is no JSON", () => withFile("generation_config.json", "nope"), "generation_config.json is not JSON"],
  ["a tokenizer cut short", () => withFile("tokenizer.json", '{"model": {'), "tokenizer.json is not JSON"],
  ["an empty tokenizer config", () => withFile("tokenizer_config.json", ""), "tokenizer_config.json is empty"],
  ["a template that is not UTF-8", () => withFile("chat_template.jinja", Uint8Array.of(0xc3, 0x28)), "is not UTF-8 text"],
];

function relink(path: string, target: string): void {
  rmSync(path);
  symlinkSync(target, path);
}

function withFile(name: string, content: string | Uint8Array<ArrayBuffer>): string {
  return makeModel(scratch.path, (path) => {
    writeTensors(path("model.safetensors"), { a: [1] });
    writeFileSync(path(name), content);
  });
}

describe("broken models", () => {
  for (const [what, make, says] of bad) {
    test(what, async () => {
      const directory = make();
      const message = await startupMessage(() => openCheckpoint(directory));
      expect(message).toContain(says);
      expect(message).toContain(directory);
      expect(isOneSentence(message)).toBe(true);
    });
  }

  const tricks: unknown[] = [
    "../model.safetensors",
    "/etc/passwd",
    "/tmp/model.safetensors",
    "a/b.safetensors",
    "a\\b.safetensors",
    "..",
    "",
    ".safetensors\0",
    "x\0.safetensors",
    "x\n.safetensors",
    "..safetensors",
    "C:x.safetensors",
    "config.json",
    `${"x".repeat(300)}.safetensors`,
    7,
    null,
    {},
    [shard(1, 2)],
  ];
  for (const trick of tricks) {
    test(`an index that names ${JSON.stringify(trick).slice(0, 40)}`, async () => {
      const message = await startupMessage(() => openCheckpoint(makeSharded(scratch.path, { a: trick, b: shard(2, 2) })));
      expect(message).toContain('tensor "a" is in');
      expect(isOneSentence(message)).toBe(true);
    });
  }

  test("a download cut short says so", async () => {
    const model = makeModel(scratch.path, (path) => {
      const bytes = readFileSync(join(fixtures, "parity/llama-plain/model.safetensors"));
      writeFileSync(path("model.safetensors"), bytes.subarray(0, bytes.length - 1000));
    });
    expect(await startupMessage(() => openCheckpoint(model))).toContain("is cut short: tensor");
  });

  test("a file that lost its reader's permission, and errors of any other kind, become sentences", () => {
    const failed = (code: string) => fileError(Object.assign(new Error(`${code}: open`), { code }), "/m/config.json");
    expect(failed("EACCES").message).toBe("/m/config.json cannot be read: permission denied");
    expect(failed("EMFILE").message).toContain("too many open files");
    expect(failed("ENOTSUP").message).toBe("/m/config.json cannot be read: ENOTSUP");
    expect(fileError("odd", "/m").message).toBe("/m cannot be read: odd");
    expect(failed("EIO")).toBeInstanceOf(StartupError);
    const own = new ServeError("startup", "mine");
    expect(fileError(own, "/m")).toBe(own);
  });
});

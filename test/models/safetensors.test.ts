import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readSafetensorsHeader, SAFETENSORS_DTYPES } from "../../src/models/safetensors.ts";
import { fixtures, headerBytes, isOneSentence, makeScratch, startupMessage, writeWeights } from "./model-directories.ts";

const scratch = makeScratch();
afterAll(scratch.remove);

let files = 0;
const newPath = () => join(scratch.path, `${files++}.safetensors`);

function write(json: string, dataBytes: number, length?: number | bigint): string {
  const path = newPath();
  writeWeights(path, headerBytes(json, length), dataBytes);
  return path;
}

const entry = (begin: number, end: number, shape = "[2]", dtype = '"F32"') =>
  `{"dtype":${dtype},"shape":${shape},"data_offsets":[${begin},${end}]}`;

describe("good files", () => {
  test("a header is read with absolute offsets, in the order of the bytes", async () => {
    const json = `{ "b" : ${entry(8, 12, "[1,1]")} ,\n"a":${entry(0, 8)},"__metadata__":{"format":"mlx","\\u00e9":"\\n"}}   `;
    const path = write(json, 12);
    const header = await readSafetensorsHeader(path);
    const start = 8 + json.length;
    expect([...header.tensors.keys()]).toEqual(["a", "b"]);
    expect(header.dataOffset).toBe(start);
    expect(header.fileSize).toBe(start + 12);
    expect(header.metadata.get("format")).toBe("mlx");
    expect(header.metadata.get("é")).toBe("\n");
    expect(header.tensors.get("b")).toEqual({
      dtype: "F32",
      mlxDtype: "float32",
      shape: [1, 1],
      offset: start + 8,
      byteLength: 4,
      path,
      aligned: start % 4 === 0,
    });
  });

  test("alignment is told", async () => {
    for (let padding = 0; padding < 4; padding++) {
      const json = `{"a":${entry(0, 8)}}${" ".repeat(padding)}`;
      const header = await readSafetensorsHeader(write(json, 8));
      expect(header.tensors.get("a")?.aligned).toBe((8 + json.length) % 4 === 0);
    }
  });

  test("every dtype of the format is measured right", async () => {
    for (const [dtype, { bits, mlx }] of Object.entries(SAFETENSORS_DTYPES)) {
      const header = await readSafetensorsHeader(write(`{"t":${entry(0, bits, "[4,2]", `"${dtype}"`)}}`, bits));
      expect(header.tensors.get("t")?.byteLength).toBe(bits);
      expect(header.tensors.get("t")?.mlxDtype).toBe(mlx);
    }
  });

  test("scalars, empty tensors, no tensors, null metadata and unknown fields are allowed", async () => {
    const scalar = await readSafetensorsHeader(write(`{"t":${entry(0, 4, "[]")},"e":${entry(4, 4, "[0,3]")}}`, 4));
    expect(scalar.tensors.get("t")?.shape).toEqual([]);
    expect(scalar.tensors.get("e")?.byteLength).toBe(0);
    expect((await readSafetensorsHeader(write('{"__metadata__":null}', 0))).tensors.size).toBe(0);
    const later = `{"t":{"x":[1,{"y":[-1.5e3,true,null,"s",{}]}],"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`;
    expect((await readSafetensorsHeader(write(later, 1))).tensors.size).toBe(1);
  });

  test("names of JavaScript's own are names like any other", async () => {
    const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "", "é/…\\u0041"];
    const json = names.map((name, i) => `"${name}":${entry(8 * i, 8 * i + 8)}`).join(",");
    const header = await readSafetensorsHeader(write(`{${json}}`, 48));
    expect([...header.tensors.keys()]).toEqual(["__proto__", "constructor", "toString", "hasOwnProperty", "", "é/…A"]);
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain("dtype");
  });

  test("a symbolic link is followed, as the Hugging Face cache has them", async () => {
    const link = newPath();
    symlinkSync(join(fixtures, "parity/llama-plain/model.safetensors"), link);
    const header = await readSafetensorsHeader(link);
    expect(header.tensors.size).toBe(30);
    expect(header.tensors.get("model.embed_tokens.weight")?.path).toBe(link);
  });
});

const ok = entry(0, 8);
const broken: [what: string, json: string, dataBytes: number, says: string][] = [
  ["not an object", "[]", 0, 'does not begin with "{"'],
  ["leading space", ` {"a":${ok}}`, 8, 'does not begin with "{"'],
  ["text after the object", `{"a":${ok}}x`, 8, "something follows"],
  ["unfinished", `{"a":${ok}`, 8, "the header does not end"],
  ["trailing comma", `{"a":${ok},}`, 8, "a key of the header is not a string"],
  ["entry is a list", '{"a":[]}', 0, 'tensor "a" is not an object'],
  ["no dtype", '{"a":{"shape":[2],"data_offsets":[0,8]}}', 8, 'tensor "a" has no dtype'],
  ["no shape", '{"a":{"dtype":"F32","data_offsets":[0,8]}}', 8, 'tensor "a" has no shape'],
  ["no offsets", '{"a":{"dtype":"F32","shape":[2]}}', 8, 'tensor "a" has no data_offsets'],
  ["one offset", '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}', 8, "are not two numbers"],
  ["three offsets", '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}', 8, "are not two numbers"],
  ["dtype is a number", `{"a":${entry(0, 8, "[2]", "32")}}`, 8, 'the dtype of tensor "a" is not a string'],
  ["unknown dtype", `{"a":${entry(0, 8, "[2]", '"F31"')}}`, 8, 'tensor "a" has the unknown dtype "F31"'],
  ["inherited dtype", `{"a":${entry(0, 8, "[2]", '"toString"')}}`, 8, 'unknown dtype "toString"'],
  ["shape is an object", `{"a":${entry(0, 8, "{}")}}`, 8, 'the shape of tensor "a": not a list'],
  ["negative size", `{"a":${entry(0, 8, "[-2]")}}`, 8, 'the shape of tensor "a": not a list of whole numbers'],
  ["fractional size", `{"a":${entry(0, 8, "[2.5]")}}`, 8, "not a list of whole numbers"],
  ["size with exponent", `{"a":${entry(0, 8, "[2e0]")}}`, 8, "not a list of whole numbers"],
  ["leading zero", `{"a":${entry(0, 8, "[02]")}}`, 8, "not a list of whole numbers"],
  ["size is NaN", `{"a":${entry(0, 8, "[NaN]")}}`, 8, "not a list of whole numbers"],
  ["size is text", `{"a":${entry(0, 8, '["2"]')}}`, 8, "not a list of whole numbers"],
  ["inexact size", `{"a":${entry(0, 8, "[9007199254740993]")}}`, 8, "not a list of whole numbers"],
  ["size of 400 digits", `{"a":${entry(0, 8, `[1${"0".repeat(400)}]`)}}`, 8, "not a list of whole numbers"],
  ["size beyond 32 bits", `{"a":${entry(0, 8, "[2147483648]")}}`, 8, 'tensor "a" has the shape [2147483648], which is too large'],
  ["product overflows", `{"a":${entry(0, 8, "[2147483647,2147483647,2147483647]")}}`, 8, "too large"],
  ["product overflows before a zero", `{"a":${entry(0, 0, "[2147483647,2147483647,4,0]")}}`, 0, "too large"],
  ["nine dimensions", `{"a":${entry(0, 4, "[1,1,1,1,1,1,1,1,1]")}}`, 4, 'tensor "a" has 9 dimensions'],
  ["endless shape", `{"a":${entry(0, 4, `[${"1,".repeat(5000)}1]`)}}`, 4, "the list is too long"],
  ["half a byte", `{"a":${entry(0, 2, "[3]", '"F4"')}}`, 2, 'tensor "a" does not end on a whole byte'],
  ["ends before it begins", `{"a":${entry(8, 0)}}`, 8, 'tensor "a" ends before it begins'],
  ["too few bytes", `{"a":${entry(0, 4)}}`, 4, 'tensor "a" has 4 bytes, but F32 [2] takes 8 bytes'],
  ["too many bytes", `{"a":${entry(0, 9)}}`, 9, 'tensor "a" has 9 bytes, but F32 [2] takes 8 bytes'],
  ["overlap", `{"a":${entry(0, 8)},"b":${entry(4, 12)}}`, 12, 'tensors "a" and "b" overlap'],
  ["the same bytes twice", `{"a":${entry(0, 8)},"b":${entry(0, 8)}}`, 8, 'tensors "a" and "b" overlap'],
  ["a hole", `{"a":${entry(0, 8)},"b":${entry(12, 20)}}`, 20, '4 bytes before tensor "b" belong to no tensor'],
  ["a hole at the start", `{"a":${entry(1, 9)}}`, 9, '1 byte before tensor "a" belong to no tensor'],
  ["bytes after the last", `{"a":${ok}}`, 9, "1 byte after the last tensor belong to no tensor"],
  ["cut short", `{"a":${ok},"b":${entry(8, 16)}}`, 15, 'is cut short: tensor "b" ends after the file does'],
  ["offsets beyond the file", `{"a":${entry(9007199254740983, 9007199254740991)}}`, 8, 'tensor "a" lies outside of the file'],
  ["the same tensor twice", `{"a":${ok},"a":${ok}}`, 8, 'the header has "a" twice'],
  ["the same tensor twice, once escaped", `{"a":${ok},"\\u0061":${ok}}`, 8, 'the header has "a" twice'],
  [
    "the same field twice",
    '{"a":{"dtype":"F32","shape":[2],"shape":[4],"data_offsets":[0,8]}}',
    8,
    'tensor "a" has "shape" twice',
  ],
  ["metadata is a list", '{"__metadata__":[]}', 0, "__metadata__ is not an object"],
  ["metadata of numbers", '{"__metadata__":{"n":1}}', 0, '__metadata__ "n" is not a string'],
  ["metadata twice", '{"__metadata__":{},"__metadata__":{}}', 0, 'has "__metadata__" twice'],
  ["NUL in a name", `{"a\\u0000b":${ok}}`, 8, "has a NUL character"],
  ["control character in a name", `{"a\nb":${ok}}`, 8, "has a control character"],
  ["wrong escape", `{"a\\x":${ok}}`, 8, "has a wrong escape"],
  ["half a surrogate pair", `{"a\\ud800":${ok}}`, 8, "has half a character"],
  ["depth bomb", `{"a":{"x":${"[".repeat(100_000)}`, 0, "is nested too deeply"],
  ["object bomb", `{"a":${'{"a":'.repeat(100_000)}`, 0, "is nested too deeply"],
];

describe("broken headers", () => {
  for (const [what, json, dataBytes, says] of broken) {
    test(what, async () => {
      const path = write(json, dataBytes);
      const message = await startupMessage(() => readSafetensorsHeader(path));
      expect(message).toContain(says);
      expect(message).toContain(path);
      expect(isOneSentence(message)).toBe(true);
    });
  }

  test("a long name is cut in the message", async () => {
    const message = await startupMessage(() => readSafetensorsHeader(write(`{"${"n".repeat(100_000)}":1}`, 0)));
    expect(message.length).toBeLessThan(400);
  });
});

describe("broken files", () => {
  const good = `{"a":${ok}}`;
  const lengths: [what: string, length: number | bigint, says: string][] = [
    ["a length beyond the limit", 100_000_001, "claims a header of 100000001 bytes"],
    ["a negative length", -1, "claims a header of 18446744073709551615 bytes"],
    ["a length beyond the file", good.length + 9, "is cut short or corrupt: its header should have"],
    ["a length that is too small", good.length - 1, "does not end"],
    ["a length of nothing", 0, "does not begin with"],
  ];
  for (const [what, length, says] of lengths) {
    test(what, async () => {
      expect(await startupMessage(() => readSafetensorsHeader(write(good, 8, length)))).toContain(says);
    });
  }

  const contents: [what: string, content: string | Uint8Array<ArrayBuffer>, says: string][] = [
    ["an empty file", "", "is empty"],
    ["a few bytes", "abc", "is not a safetensors file: it has only 3 bytes"],
    ["a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"],
    ["a web page", "<!DOCTYPE html><html></html>", "claims a header of"],
    ["bytes that are not UTF-8", headerBytes(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x7d])), "is not UTF-8 text"],
    ["a byte order mark", headerBytes("\uFEFF{}"), "does not begin with"],
    ["UTF-16", headerBytes(new Uint8Array([0x7b, 0, 0x7d, 0])), "is corrupt"],
  ];
  for (const [what, content, says] of contents) {
    test(what, async () => {
      const path = newPath();
      writeFileSync(path, content);
      const message = await startupMessage(() => readSafetensorsHeader(path));
      expect(message).toContain(says);
      expect(message).toContain(path);
    });
  }

  test("no file, a directory, a circle of links, a device, an impossible name", async () => {
    const directory = newPath();
    mkdirSync(directory);
    const circle = newPath();
    symlinkSync(circle, circle);
    expect(await startupMessage(() => readSafetensorsHeader(newPath()))).toContain("does not exist");
    expect(await startupMessage(() => readSafetensorsHeader(directory))).toContain("is a directory");
    expect(await startupMessage(() => readSafetensorsHeader(circle))).toContain("circle of symbolic links");
    expect(await startupMessage(() => readSafetensorsHeader("/dev/zero"))).toContain("is not a regular file");
    expect(await startupMessage(() => readSafetensorsHeader(join(directory, "\0")))).toContain("cannot be read");
  });
});

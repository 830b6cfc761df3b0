import { describe, expect, test } from "bun:test";
import { ConfigReader, parseModelJson } from "../../src/models/model-config.ts";
import { isOneSentence, startupMessage } from "./model-directories.ts";

const parse = (text: string) => parseModelJson(text, "config.json");

describe("parseModelJson", () => {
  test("plain JSON, with or without a byte order mark", () => {
    expect(parse('{"a": [1, {"b": null}]}')).toEqual({ a: [1, { b: null }] });
    expect(parse('\uFEFF{"a":1}')).toEqual({ a: 1 });
  });

  test("Python's numbers, but not inside strings", () => {
    const text = '{"a": NaN, "b": [Infinity, -Infinity], "NaN": "NaN Infinity \\" NaN", "c": "\\\\", "d": -1}';
    expect(parse(text)).toEqual({
      a: Number.NaN,
      b: [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
      NaN: 'NaN Infinity " NaN',
      c: "\\",
      d: -1,
    });
  });

  test("numbers as transformers writes them, and nothing that only looks so", () => {
    const tag = (value: unknown, more = {}) => ({ __float__: value, ...more });
    const config = {
      a: tag("Infinity"),
      b: [{ c: [1, tag("-Infinity"), tag("NaN")] }],
      d: tag("1"),
      e: tag(1),
      f: tag("NaN", { g: 1 }),
    };
    expect(parse(JSON.stringify(config))).toEqual({
      ...{ a: Number.POSITIVE_INFINITY, b: [{ c: [1, Number.NEGATIVE_INFINITY, Number.NaN] }] },
      ...{ d: config.d, e: config.e, f: config.f },
    });
    expect(Object.hasOwn(parse('{"__proto__": {"__float__": "NaN"}}'), "__proto__")).toBe(true);
  });

  test("__proto__ is a field like any other", () => {
    for (const text of ['{"__proto__": {"polluted": 1}}', '{"__proto__": {"polluted": NaN}}']) {
      const value = parse(text);
      expect(Object.hasOwn(value, "__proto__")).toBe(true);
      expect("polluted" in value).toBe(false);
      expect(new ConfigReader(value, "c").has("polluted")).toBe(false);
    }
    expect("polluted" in {}).toBe(false);
  });

  const bad: [text: string, says: string][] = [
    ["", "is not JSON"],
    ['{"__float__": "NaN"}', "is not a JSON object but NaN"],
    ["{", "is not JSON"],
    ['{"a": nan}', "is not JSON"],
    ['{"a": -NaN}', "is not JSON"],
    ['{"a": 1Infinity}', "is not JSON"],
    ['{"a": "x}', "is not JSON"],
    ['{"a": 1,}', "is not JSON"],
    ["null", "is not a JSON object but null"],
    ["NaN", "is not a JSON object but NaN"],
    ["[1,2]", "is not a JSON object but a list of 2"],
    ['"text"', 'is not a JSON object but "text"'],
    ["{} {}", "is not JSON"],
    ['{"a": "\\\n"}', "is not JSON"],
    [`{"a":${"[".repeat(1e6)}`, "is nested more than 128 levels deep"],
    [`{"a":${"[".repeat(200)}NaN${"]".repeat(200)}}`, "is nested more than 128 levels deep"],
    ['{"a":'.repeat(1e5), "is nested more than 128 levels deep"],
  ];
  for (const [text, says] of bad) {
    test(`refuses ${text.slice(0, 30)}`, async () => {
      const message = await startupMessage(() => parse(text));
      expect(message).toContain(`config.json ${says}`);
      expect(isOneSentence(message)).toBe(true);
    });
  }

  test("brackets in strings are not depth", () => {
    const text = JSON.stringify({ a: `${"[{".repeat(500)}"\\`, b: 1 });
    expect(parse(text)).toEqual(JSON.parse(text));
  });
});

const reader = new ConfigReader(
  parse(`{"hidden_size": 64, "head_dim": null, "n_head": 8, "eps": 1e-5, "tied": false, "act": "silu", "eos": 2, "eoses": [1, 2],
    "names": ["a", "b"], "rope": {"type": "llama3", "factor": NaN}, "nan": NaN, "inf": Infinity, "negative": -1, "half": 0.5,
    "huge": 1e300, "text": "64", "vocab_size": 16777217, "num_hidden_layers": 4097, "mixed": [1, "2"], "empty": []}`),
  "config.json",
);

describe("ConfigReader", () => {
  test("takes what is there", () => {
    expect(reader.int("hidden_size", { min: 1 })).toBe(64);
    expect(reader.int(["num_attention_heads", "n_head"])).toBe(8);
    expect(reader.int(["head_dim", "hidden_size"])).toBe(64);
    expect(reader.number("eps", { min: 0 })).toBe(1e-5);
    expect(reader.boolean("tied")).toBe(false);
    expect(reader.string("act", { oneOf: ["silu", "gelu"] })).toBe("silu");
    expect(reader.ints("eos")).toEqual([2]);
    expect(reader.ints("eoses")).toEqual([1, 2]);
    expect(reader.ints("empty")).toEqual([]);
    expect(reader.numbers("half")).toEqual([0.5]);
    expect(reader.strings("names", { length: 2 })).toEqual(["a", "b"]);
    expect(reader.int("negative", { min: -1 })).toBe(-1);
    expect(reader.has("head_dim")).toBe(false);
    expect(reader.names()).not.toContain("head_dim");
    expect(reader.child("rope").string("type")).toBe("llama3");
  });

  test("defaults stand for what is absent or null, and only for that", async () => {
    const none: number | null = reader.int("head_dim", { default: null });
    const eight: number = reader.int("absent", { default: 8 });
    expect([none, eight]).toEqual([null, 8]);
    expect(reader.boolean("absent", { default: false })).toBe(false);
    expect(reader.string("absent", { default: "" })).toBe("");
    expect(reader.ints("absent", { default: [] })).toEqual([]);
    expect(reader.strings("absent", { default: null })).toBeNull();
    expect(reader.optionalChild("absent")).toBeNull();
    expect(await startupMessage(() => reader.int("text", { default: 1 }))).toContain("text is");
  });

  const bad: [what: string, take: () => unknown, says: string][] = [
    ["absent", () => reader.int("absent"), "config.json has no absent"],
    ["null", () => reader.int("head_dim"), "config.json has no head_dim"],
    ["inherited", () => reader.string("constructor"), "config.json has no constructor"],
    ["no alias", () => reader.int(["n_layer", "layers"]), "config.json has no n_layer or layers"],
    ["NaN", () => reader.int("nan"), "config.json: nan is NaN but must be a whole number from 0 to 2147483647"],
    ["infinite", () => reader.int("inf"), "inf is Infinity but"],
    ["negative", () => reader.int("negative"), "negative is -1 but must be a whole number from 0"],
    ["below the least", () => reader.int("n_head", { min: 9, max: 10 }), "n_head is 8 but must be a whole number from 9 to 10"],
    ["fraction", () => reader.int("half"), "half is 0.5 but"],
    ["huge", () => reader.int("huge"), "huge is 1e+300 but"],
    ["text", () => reader.int("text"), 'text is "64" but'],
    [
      "known bounds: vocabulary",
      () => reader.int("vocab_size"),
      "vocab_size is 16777217 but must be a whole number from 0 to 16777216",
    ],
    ["known bounds: layers", () => reader.int("num_hidden_layers"), "from 0 to 4096"],
    ["NaN number", () => reader.number("nan"), "nan is NaN but must be a finite number"],
    ["infinite number", () => reader.number("inf", { min: 0 }), "inf is Infinity but must be a finite number from 0"],
    ["number too large", () => reader.number("huge", { max: 1 }), "must be a finite number up to 1"],
    ["not a boolean", () => reader.boolean("half"), "half is 0.5 but must be true or false"],
    ["not a string", () => reader.string("tied"), "tied is false but must be a string"],
    ["another string", () => reader.string("act", { oneOf: ["gelu"] }), 'act is "silu" but must be one of gelu'],
    ["list with a string", () => reader.ints("mixed"), 'mixed[1] is "2" but must be a whole number'],
    ["list too short", () => reader.ints("eoses", { length: 3 }), "eoses is a list of 2 but must be a list of 3 whole numbers"],
    ["list of numbers with NaN", () => reader.numbers("nan"), "nan is NaN but must be a finite number"],
    ["list for strings", () => reader.strings("eoses"), "eoses[0] is 1 but must be a string"],
    ["child is a number", () => reader.child("eos"), "eos is 2 but must be an object"],
    ["child is a list", () => reader.child("eoses"), "eoses is a list of 2 but must be an object"],
    ["in a child", () => reader.child("rope").number("factor"), "config.json: rope: factor is NaN but must be a finite number"],
  ];
  for (const [what, take, says] of bad) {
    test(`refuses: ${what}`, async () => {
      expect(await startupMessage(take)).toContain(says);
    });
  }
});

import { describe, expect, test } from "bun:test";
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { StartupError } from "../../src/errors.ts";
import { loadTokenizer, type Tokenizer } from "../../src/text/tokenizer.ts";
import { loadSmallTokenizer, makeText, type SmallTokenizerName, seedRandom, smallTokenizerJsons } from "./small-tokenizers.ts";

const assets = `${import.meta.dir}/../../src/assets/tiny-chat`;
const tokenizerJson = (await Bun.file(`${assets}/tokenizer.json`).json()) as Record<string, unknown>;
const tokenizerConfig = (await Bun.file(`${assets}/tokenizer_config.json`).json()) as Record<string, unknown>;
const tinyChat = loadTokenizer({ tokenizerJson, tokenizerConfig });
const names = Object.keys(smallTokenizerJsons) as SmallTokenizerName[];
const bare = { addSpecialTokens: false };
const all = { skipSpecialTokens: false };

describe("loadTokenizer", () => {
  test("says in one sentence what is wrong with the files", () => {
    const load = (json: unknown) => () => loadTokenizer({ tokenizerJson: json, tokenizerConfig: {} });
    expect(load(undefined)).toThrow(StartupError);
    expect(load(null)).toThrow(/no tokenizer.json; slow tokenizers are not supported/);
    for (const json of [[], "x", {}, { model: {} }, { model: null }])
      expect(load(json)).toThrow(/has no model with a vocabulary/);
    const strange = { ...tokenizerJson, pre_tokenizer: { type: "Quantum" } };
    expect(load(strange)).toThrow(StartupError);
    expect(load(strange)).toThrow(/tokenizer.json is not supported: .*Quantum/);
  });

  test("takes special tokens from tokenizer_config.json too", () => {
    const config = {
      eos_token: { content: "</s>" },
      pad_token: null,
      additional_special_tokens: ["the"],
      added_tokens_decoder: { "2": { content: "</s>", special: true }, "900": { content: "<extra>", special: false } },
    };
    const json = structuredClone(smallTokenizerJsons.gemma);
    json.added_tokens = json.added_tokens.map((token) => ({ ...token, special: false }));
    const tokenizer = loadTokenizer({ tokenizerJson: json, tokenizerConfig: config });
    expect(tokenizer.isSpecial(2)).toBe(true);
    expect(tokenizer.isSpecial(1)).toBe(false);
    expect(tokenizer.isSpecial(900)).toBe(false);
    expect(tokenizer.tokenId("<extra>")).toBe(900);
    expect(tokenizer.encode("<extra></s>", bare)).toEqual([900, 2]);
    expect(tokenizer.vocabSize).toBe(901);
    expect(tokenizer.decode([700, 900, 2], { skipSpecialTokens: true })).toBe("<extra>");
  });
});

describe("Tokenizer", () => {
  test("recognises special tokens in a text, and skips them when decoding", () => {
    const ids = tinyChat.encode("<|im_start|>user\nhi<|im_end|>", bare);
    expect(ids[0]).toBe(tinyChat.tokenId("<|im_start|>")!);
    expect(ids.at(-1)).toBe(tinyChat.tokenId("<|im_end|>")!);
    expect(tinyChat.decode(ids, all)).toBe("<|im_start|>user\nhi<|im_end|>");
    expect(tinyChat.decode(ids, { skipSpecialTokens: true })).toBe("user\nhi");
    expect(tinyChat.isSpecial(ids[0]!)).toBe(true);
    expect(tinyChat.isSpecial(tinyChat.tokenId("<think>")!)).toBe(false);
    expect(tinyChat.tokenId("no such token")).toBeUndefined();
    expect(tinyChat.vocabSize).toBe(4096);
  });

  test("round-trips empty text, NUL, controls, all planes; lone surrogates become U+FFFD", () => {
    expect(tinyChat.encode("", bare)).toEqual([]);
    expect(tinyChat.encode("", { addSpecialTokens: true })).toEqual([]);
    for (const text of [
      "\u0000",
      "a\u0000b",
      "\ufeffx",
      "\u0001\u007f\u0085",
      "𝔘",
      "\u{10ffff}",
      " leading",
      "trailing ",
      "a , b . c !",
      "\r\n\r\n",
    ]) {
      expect(tinyChat.decode(tinyChat.encode(text, bare), all)).toBe(text);
    }
    for (const text of ["\ud800", "a\udc00b", "\udc00\ud800", "😀\ud83d"]) {
      const ids = tinyChat.encode(text, bare);
      expect(tinyChat.decode(ids, all)).toBe(text.toWellFormed());
      expect(ids).toEqual(tinyChat.encode(text.toWellFormed(), bare));
    }
  });

  test("adds BOS where the post-processor does", () => {
    const llama = loadSmallTokenizer("llama2");
    expect(llama.encode("", { addSpecialTokens: true })).toEqual([1]);
    expect(llama.encode("the", { addSpecialTokens: true })).toEqual([1, ...llama.encode("the", bare)]);
    expect(llama.encode("<s>the", bare)[0]).toBe(1);
  });

  test("token bytes: byte map, byte tokens, ▁, added tokens, unknown ids", () => {
    const bytes = (tokenizer: Tokenizer, token: string) => [...tokenizer.tokenBytes(tokenizer.tokenId(token)!)];
    expect(bytes(tinyChat, "Ġ")).toEqual([0x20]);
    expect(bytes(tinyChat, "Ċ")).toEqual([0x0a]);
    expect(bytes(tinyChat, "<|im_end|>")).toEqual([..."<|im_end|>"].map((character) => character.charCodeAt(0)));
    const ids = tinyChat.encode("東", bare);
    expect(ids.flatMap((id) => [...tinyChat.tokenBytes(id)])).toEqual([0xe6, 0x9d, 0xb1]);
    const llama = loadSmallTokenizer("llama2");
    expect(bytes(llama, "<0xE6>")).toEqual([0xe6]);
    expect(bytes(llama, "▁the")).toEqual([0x20, 0x74, 0x68, 0x65]);
    expect([...tinyChat.tokenBytes(99_999)]).toEqual([]);
    const singles = new Set(Array.from({ length: 256 }, (_, id) => tinyChat.tokenBytes(id)).map((one) => one[0]));
    expect(singles.size).toBe(256);
  });

  // Ids and texts that the Rust tokenizers 0.21.4 gave for the same files.
  test("equals the reference implementation", () => {
    const llama = loadSmallTokenizer("llama2");
    const text = "the naïve 🚀 <s> dogs  and\n";
    const ids = [1, 299, 392, 294, 243, 162, 157, 131, 294, 1, 294, 323, 294, 388, 259];
    expect(llama.encode(text, { addSpecialTokens: true })).toEqual(ids);
    expect(llama.decode(ids, all)).toBe("<s> the naïve 🚀 <s>  dogs  and\n");
    expect(loadSmallTokenizer("metaspace").encode(text, bare)).toEqual([
      299, 392, 294, 243, 162, 157, 131, 294, 1, 323, 294, 388, 259,
    ]);
    expect(loadSmallTokenizer("unigram").encode(text, bare)).toEqual([299, 392, 294, 0, 294, 1, 323, 294, 388, 259]);
  });

  test.each(names)("%s: words merged one by one give the tokens of the whole", (name) => {
    const library = new LibraryTokenizer(structuredClone(smallTokenizerJsons[name]), {});
    const tokenizer = loadSmallTokenizer(name);
    const random = seedRandom(21);
    for (let round = 0; round < 300; round++) {
      const text = makeText(random, 20).toWellFormed();
      expect(tokenizer.encode(text, bare)).toEqual(library.encode(text, { add_special_tokens: false }).ids);
    }
  });
});

describe("encodeAsync", () => {
  const longText = (seed: number, length: number): string => {
    const random = seedRandom(seed);
    let text = "";
    while (text.length < length) text += makeText(random, 20) + (random() < 0.5 ? " and the words\nthen" : "");
    return text;
  };

  test.each(["tiny-chat", ...names] as const)(
    "%s: long texts give the ids of encode",
    async (name) => {
      const tokenizer = name === "tiny-chat" ? tinyChat : loadSmallTokenizer(name);
      for (const seed of [1, 2, 3]) {
        const text = longText(seed, 60_000);
        for (const addSpecialTokens of [true, false]) {
          expect(await tokenizer.encodeAsync(text, { addSpecialTokens })).toEqual(tokenizer.encode(text, { addSpecialTokens }));
        }
      }
    },
    30_000,
  );

  test("texts without a place to cut stay whole", async () => {
    for (const text of ["a".repeat(40_000), " ".repeat(40_000), "東京".repeat(20_000), "\n".repeat(40_000)]) {
      expect(await tinyChat.encodeAsync(text, bare)).toEqual(tinyChat.encode(text, bare));
    }
  });

  test("an added token that strips what follows it is not cut off from it", async () => {
    const json = structuredClone(smallTokenizerJsons.gemma);
    json.added_tokens = json.added_tokens.map((token) => ({ ...token, rstrip: true, lstrip: true }));
    const tokenizer = loadTokenizer({ tokenizerJson: json, tokenizerConfig: {} });
    const text = "<s> the </s> dog\n".repeat(3000);
    expect(await tokenizer.encodeAsync(text, bare)).toEqual(tokenizer.encode(text, bare));
  });

  test("lets the event loop run while it works on a megabyte", async () => {
    const text = "The quick brown fox jumps over the lazy dog, again and again.\n".repeat(16_000);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await tinyChat.encodeAsync(text, bare);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(5);
  });
});

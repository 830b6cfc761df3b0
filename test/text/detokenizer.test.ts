import { describe, expect, test } from "bun:test";
import { Detokenizer } from "../../src/text/detokenizer.ts";
import { loadTokenizer, type Tokenizer } from "../../src/text/tokenizer.ts";
import { loadSmallTokenizer, makeText, type SmallTokenizerName, seedRandom, smallTokenizerJsons } from "./small-tokenizers.ts";

const assets = `${import.meta.dir}/../../src/assets/tiny-chat`;
const tinyChat = loadTokenizer({
  tokenizerJson: await Bun.file(`${assets}/tokenizer.json`).json(),
  tokenizerConfig: (await Bun.file(`${assets}/tokenizer_config.json`).json()) as Record<string, unknown>,
});
const names = Object.keys(smallTokenizerJsons) as SmallTokenizerName[];
const tokenizers: [string, Tokenizer][] = [
  ["tiny-chat", tinyChat],
  ...names.map((name): [string, Tokenizer] => [name, loadSmallTokenizer(name)]),
];

function stream(tokenizer: Tokenizer, ids: readonly number[], skipSpecialTokens = true): string[] {
  const detokenizer = new Detokenizer(tokenizer, { skipSpecialTokens });
  return [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()];
}

describe.each(tokenizers)("Detokenizer with %s", (name, tokenizer) => {
  test("streams texts of all scripts, never a half character", () => {
    const random = seedRandom(11);
    for (let round = 0; round < 400; round++) {
      const text = makeText(random, 16);
      const ids = tokenizer.encode(text, { addSpecialTokens: false });
      const pieces = stream(tokenizer, ids);
      expect(pieces.join("")).toBe(tokenizer.decode(ids, { skipSpecialTokens: true }));
      for (const piece of pieces) expect(piece.isWellFormed()).toBe(true);
      const hasReplacement = text.toWellFormed().includes("\ufffd");
      if (tokenizer.plan && !hasReplacement) expect(pieces.join("")).not.toContain("\ufffd");
    }
  });

  test("streams random token ids, broken UTF-8 included, like a full decode", () => {
    const random = seedRandom(12);
    // The first 256 tokens are bytes: many of them in a row make every kind of broken sequence.
    const firstByte = name === "tiny-chat" ? 0 : 3;
    for (let round = 0; round < 1500; round++) {
      const ids = Array.from({ length: Math.floor(random() * 24) }, () =>
        random() < 0.6 ? firstByte + Math.floor(random() * 256) : Math.floor(random() * (tokenizer.vocabSize + 3)),
      );
      for (const skip of [true, false]) {
        const pieces = stream(tokenizer, ids, skip);
        if (tokenizer.plan) expect(pieces.join("")).toBe(tokenizer.decode(ids, { skipSpecialTokens: skip }));
      }
    }
  });

  test("nothing in, nothing out", () => {
    expect(stream(tokenizer, [])).toEqual([""]);
    expect(stream(tokenizer, [tokenizer.vocabSize + 5, -1, 1.5])).toEqual(["", "", "", ""]);
    expect(tokenizer.decode([], { skipSpecialTokens: true })).toBe("");
  });
});

describe("Detokenizer", () => {
  const lettersOf = (bytes: number[]) => bytes.map((byte) => 3 + byte);

  test("gives a character with its last byte, and broken bytes as soon as they are known to be broken", () => {
    const gemma = loadSmallTokenizer("gemma");
    expect(stream(gemma, lettersOf([0xf0, 0x9f, 0x9a, 0x80]))).toEqual(["", "", "", "🚀", ""]);
    expect(stream(gemma, lettersOf([0xf0, 0x9f, 0x41]))).toEqual(["", "", "\ufffdA", ""]);
    expect(stream(gemma, lettersOf([0xff, 0xe2, 0x82]))).toEqual(["\ufffd", "", "", "\ufffd"]);
    expect(stream(gemma, lettersOf([0xed, 0xa0, 0x80]))).toEqual(["", "\ufffd\ufffd", "\ufffd", ""]);
    expect(stream(gemma, lettersOf([0xef, 0xbb, 0xbf, 0x41])).join("")).toBe("\ufeffA");
  });

  test("strips spaces only at the ends where the decoder says so", () => {
    const space = (tokenizer: Tokenizer) => tokenizer.tokenId("▁")!;
    const [llama, gemma, both] = [loadSmallTokenizer("llama2"), loadSmallTokenizer("gemma"), loadSmallTokenizer("stripBothEnds")];
    const the = (tokenizer: Tokenizer) => tokenizer.tokenId("▁the")!;
    expect(stream(llama, [the(llama), the(llama), space(llama)])).toEqual(["the", " the", " ", ""]);
    expect(stream(llama, [1, space(llama), the(llama)])).toEqual(["", "", " the", ""]);
    expect(stream(gemma, [the(gemma), the(gemma)])).toEqual([" the", " the", ""]);
    const ids = [space(both), space(both), space(both), the(both), space(both), space(both), space(both), the(both), space(both)];
    expect(stream(both, ids)).toEqual(["", "", "", "  the", "", "", " ", "   the", "", ""]);
  });

  test("the library's window is exact for a decoder without a plan", () => {
    const tokenizer = loadSmallTokenizer("stripEach");
    expect(tokenizer.plan).toBeNull();
    const ids = tokenizer.encode("the quick brown fox", { addSpecialTokens: false });
    expect(stream(tokenizer, ids).join("")).toBe(tokenizer.decode(ids, { skipSpecialTokens: true }));
  });

  test("costs the same per token however long the output is", () => {
    const ids = tinyChat.encode("The quick brown fox 東京 😀. ".repeat(100), { addSpecialTokens: false });
    const detokenizer = new Detokenizer(tinyChat);
    const time = (rounds: number) => {
      const begun = performance.now();
      for (let round = 0; round < rounds; round++) for (const id of ids) detokenizer.push(id);
      return performance.now() - begun;
    };
    time(2);
    const early = time(10);
    time(60);
    expect(time(10)).toBeLessThan(early * 5 + 50);
  });
});

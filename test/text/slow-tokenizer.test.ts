import { expect, test } from "bun:test";
import { StartupError } from "../../src/errors.ts";
import type { SlowFiles } from "../../src/text/slow-tokenizer.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";

interface Model {
  vocab: Record<string, number>;
  merges: [string, string][];
}

const nothing: SlowFiles = { vocabulary: null, merges: null, vocabularyText: null, addedTokens: null, unreadable: [] };
const load = (slowTokenizer: SlowFiles, tokenizerConfig: Record<string, unknown>) =>
  loadTokenizer({ tokenizerJson: null, tokenizerConfig, slowTokenizer });

async function readFixture(name: string) {
  const fixture = await Bun.file(`${import.meta.dir}/../fixtures/tokenizers/${name}.json`).json();
  return fixture as { tokenizer: { model: Model }; framed: number[]; cases: { text: string; ids: number[] }[] };
}

test("vocab.json and merges.txt are what tokenizer.json would be", async () => {
  const { tokenizer, framed, cases } = await readFixture("gpt2");
  const { vocab, merges } = tokenizer.model;
  const files: SlowFiles = {
    ...nothing,
    vocabulary: vocab,
    merges: `#version: 0.2\n${merges.map((pair) => pair.join(" ")).join("\r\n")}\n`,
  };
  const roberta = load(files, { tokenizer_class: "RobertaTokenizerFast", add_prefix_space: true });
  for (const { text, ids } of cases) expect(roberta.encode(text, { addSpecialTokens: false })).toEqual(ids);
  expect(roberta.encode("the fox", { addSpecialTokens: true })).toEqual([1, ...framed.slice(1, -1), 2]);

  const gpt2 = load(files, { tokenizer_class: "GPT2Tokenizer", add_bos_token: true, bos_token: "<s>" });
  expect(gpt2.encode("the fox", { addSpecialTokens: true })[0]).toBe(1);
  expect(gpt2.decode(gpt2.encode("the fox 東京", { addSpecialTokens: true }), { skipSpecialTokens: true })).toBe("the fox 東京");

  const added = load({ ...files, addedTokens: { "<|im_end|>": 900 } }, { tokenizer_class: "Qwen2Tokenizer" });
  expect(added.encode("fox<|im_end|>", { addSpecialTokens: true }).at(-1)).toBe(900);
  expect(added.encode("e\u0301", { addSpecialTokens: false })).toEqual(added.encode("é", { addSpecialTokens: false }));
});

test("so is vocab.txt, for BERT", async () => {
  const { tokenizer, framed, cases } = await readFixture("bert-uncased");
  const lines = Object.entries(tokenizer.model.vocab).sort((a, b) => a[1] - b[1]);
  const files: SlowFiles = { ...nothing, vocabularyText: `${lines.map(([token]) => token).join("\n")}\n` };
  for (const tokenizerConfig of [{}, { tokenizer_class: "BertTokenizer", cls_token: { content: "[CLS]" } }]) {
    const bert = load(files, tokenizerConfig);
    expect(bert.encode("the fox", { addSpecialTokens: true })).toEqual(framed);
    // The fixture's longest word has 20 characters, and no specials among its added tokens but the same five.
    const short = cases.filter(({ text }) => !/\S{20}/u.test(text));
    expect(short.length).toBeGreaterThan(50);
    for (const { text, ids } of short) expect(bert.encode(text, { addSpecialTokens: false })).toEqual(ids);
  }
});

test("what cannot be converted is refused with what was found", () => {
  const refused: [SlowFiles, Record<string, unknown>, RegExp][] = [
    [
      { ...nothing, unreadable: ["tokenizer.model"] },
      { tokenizer_class: "LlamaTokenizer" },
      /only tokenizer\.model for a LlamaTokenizer/,
    ],
    [{ ...nothing, vocabulary: {}, merges: "" }, { tokenizer_class: "CLIPTokenizer" }, /only vocab\.json for a CLIPTokenizer/],
    [{ ...nothing, vocabularyText: "a" }, { tokenizer_class: "EsmTokenizer" }, /only vocab\.txt/],
    [nothing, {}, /no tokenizer\.json; slow tokenizers are not supported/],
    [{ ...nothing, vocabulary: { a: 0 }, merges: "a b" }, { tokenizer_class: "GPT2Tokenizer" }, /merge 0 is of tokens/],
    [{ ...nothing, vocabularyText: "a\nb" }, {}, /no cls_token "\[CLS\]"/],
  ];
  for (const [files, config, message] of refused) {
    expect(() => load(files, config)).toThrow(StartupError);
    expect(() => load(files, config)).toThrow(message);
  }
});

/** Small tokenizers of the kinds that tiny-chat is not: trained here on one sentence, so that every part is known. */
import { loadTokenizer, type Tokenizer } from "../../src/text/tokenizer.ts";

const sample =
  "the quick brown fox jumps over the lazy dog and the other dogs, then they both sleep in the brown house over there.\n" +
  "Übergrößen kosten nichts; a naïve café in 東京 is the place where the quick dogs eat.\n";

/** Merges of the most frequent pairs inside words that begin with ▁. */
function train(mergeCount: number): { characters: string[]; merges: [string, string][] } {
  const words = sample.split(/(?= )/).map((word) => [...word.replaceAll(" ", "▁")]);
  const characters = [...new Set(words.flat())].sort();
  const merges: [string, string][] = [];
  while (merges.length < mergeCount) {
    const counts = new Map<string, number>();
    for (const word of words) {
      for (let index = 1; index < word.length; index++) {
        const pair = JSON.stringify([word[index - 1], word[index]]);
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const [best] = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    if (!best) break;
    const [left, right] = JSON.parse(best[0]) as [string, string];
    merges.push([left, right]);
    for (const word of words) {
      for (let index = 1; index < word.length; index++) {
        if (word[index - 1] === left && word[index] === right) word.splice(index - 1, 2, left + right);
      }
    }
  }
  return { characters, merges };
}

const { characters, merges } = train(120);
const byteTokens = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
const special = (id: number, content: string) => ({
  id,
  content,
  special: true,
  normalized: false,
  lstrip: false,
  rstrip: false,
  single_word: false,
});
const words = [...new Set([...characters, "▁", ...merges.map((merge) => merge.join(""))])];
const vocab = Object.fromEntries(["<unk>", "<s>", "</s>", ...byteTokens, ...words].map((token, id) => [token, id]));
const bpe = { type: "BPE", unk_token: "<unk>", fuse_unk: true, byte_fallback: true, vocab, merges };
const spaceToBlock = { type: "Replace", pattern: { String: " " }, content: "▁" };
const blockToSpace = { type: "Replace", pattern: { String: "▁" }, content: " " };
const base = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
  normalizer: null as unknown,
  pre_tokenizer: null as unknown,
  post_processor: null as unknown,
  decoder: null as unknown,
  model: bpe as unknown,
};
const bosFrame = {
  type: "TemplateProcessing",
  single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
  pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
  special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
};

export const smallTokenizerJsons = {
  /** Llama 2, Mistral 7B. */
  llama2: {
    ...base,
    normalizer: { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, spaceToBlock] },
    post_processor: bosFrame,
    decoder: {
      type: "Sequence",
      decoders: [blockToSpace, { type: "ByteFallback" }, { type: "Fuse" }, { type: "Strip", content: " ", start: 1, stop: 0 }],
    },
  },
  /** Gemma: no space is put in front, none is taken away. */
  gemma: {
    ...base,
    normalizer: spaceToBlock,
    pre_tokenizer: { type: "Split", pattern: { String: " " }, behavior: "MergedWithPrevious", invert: false },
    decoder: { type: "Sequence", decoders: [blockToSpace, { type: "ByteFallback" }, { type: "Fuse" }] },
  },
  metaspace: {
    ...base,
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false },
    decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false },
  },
  unigram: {
    ...base,
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
    decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
    model: {
      type: "Unigram",
      unk_id: 0,
      byte_fallback: false,
      vocab: Object.keys(vocab).map((token, id) => [token, id < 3 ? 0 : -1 - (id % 17) - 8 / token.length]),
    },
  },
  stripBothEnds: {
    ...base,
    decoder: {
      type: "Sequence",
      decoders: [blockToSpace, { type: "ByteFallback" }, { type: "Fuse" }, { type: "Strip", content: " ", start: 2, stop: 2 }],
    },
  },
  noDecoder: base,
  /** A decoder that is left to the library: spaces are stripped from every token. */
  stripEach: {
    ...base,
    decoder: { type: "Sequence", decoders: [blockToSpace, { type: "Strip", content: " ", start: 1, stop: 0 }] },
  },
};

export type SmallTokenizerName = keyof typeof smallTokenizerJsons;

export function loadSmallTokenizer(name: SmallTokenizerName): Tokenizer {
  return loadTokenizer({ tokenizerJson: structuredClone(smallTokenizerJsons[name]), tokenizerConfig: {} });
}

/** A repeatable random number generator (mulberry32) in [0, 1). */
export function seedRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const scraps = [
  "the quick",
  " brown",
  " fox",
  "\n",
  "\n\n",
  "  ",
  " ",
  "\t",
  "é",
  "e\u0301",
  "東京",
  "مرحبا بكم",
  "שלום",
  "👨‍👩‍👧‍👦",
  "🏳️‍🌈",
  "👍🏽",
  "🇫🇷",
  "नमस्ते",
  "\u0000",
  "\ufeff",
  "\ufffd",
  "\u200f",
  "<0x41>",
  "▁",
  "▁▁",
  "<s>",
  "</s>",
  "<unk>",
  "<|im_end|>",
  "<think>",
  "1234",
  "'ll",
  "don't",
  "...",
  '{"a": 1}',
  "\r\n",
  "\u00a0",
  "Ⅷ",
  "𝔘𝔫𝔦",
  "ﬁ",
  "-->",
  "x".repeat(30),
  "Straße",
  "\ud800",
  "\udc00",
];

/** A text of random scraps: scripts, emoji, controls, special tokens, lone surrogates. */
export function makeText(random: () => number, maxScraps: number): string {
  return Array.from({ length: Math.floor(random() * maxScraps) }, () => scraps[Math.floor(random() * scraps.length)]).join("");
}

/** Every kind of tokenizer against what Rust's tokenizers did: see make_tokenizers.py. */
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { Detokenizer } from "../../src/text/detokenizer.ts";
import { loadTokenizer, type Tokenizer } from "../../src/text/tokenizer.ts";
import { makeText, seedRandom } from "./small-tokenizers.ts";

interface Fixture {
  tokenizer: Record<string, unknown>;
  /** Of "the fox", with what the post-processor adds. */
  framed: number[];
  cases: { text: string; ids: number[]; decoded: string }[];
}

const directory = `${import.meta.dir}/../fixtures/tokenizers`;
const names = readdirSync(directory)
  .filter((file) => file.endsWith(".json"))
  .map((file) => file.slice(0, -".json".length));
const bare = { addSpecialTokens: false };
const all = { skipSpecialTokens: false };

async function open(name: string): Promise<{ tokenizer: Tokenizer; fixture: Fixture }> {
  const fixture = (await Bun.file(`${directory}/${name}.json`).json()) as Fixture;
  return { fixture, tokenizer: loadTokenizer({ tokenizerJson: fixture.tokenizer, tokenizerConfig: {} }) };
}

function stream(tokenizer: Tokenizer, ids: readonly number[]): string {
  const detokenizer = new Detokenizer(tokenizer, { skipSpecialTokens: false });
  return ids.map((id) => detokenizer.push(id)).join("") + detokenizer.flush();
}

test("all kinds are there", () => expect(names.length).toBeGreaterThan(14));

describe.each(names)("%s", (name) => {
  test("gives the ids and texts of the reference", async () => {
    const { tokenizer, fixture } = await open(name);
    expect(fixture.cases.length).toBeGreaterThan(100);
    for (const { text, ids, decoded } of fixture.cases) {
      expect({ text, ids: tokenizer.encode(text, bare) }).toEqual({ text, ids });
      expect({ text, decoded: tokenizer.decode(ids, all) }).toEqual({ text, decoded });
      expect({ text, streamed: stream(tokenizer, ids) }).toEqual({ text, streamed: decoded });
    }
    expect(tokenizer.encode("the fox", { addSpecialTokens: true })).toEqual(fixture.framed);
  });

  test("streams what it encodes from random texts like a full decode", async () => {
    const { tokenizer } = await open(name);
    const random = seedRandom(31);
    for (let round = 0; round < 300; round++) {
      const ids = tokenizer.encode(makeText(random, 24), bare);
      expect(stream(tokenizer, ids)).toBe(tokenizer.decode(ids, all));
    }
  });

  test("streams random ids, broken characters included, like a full decode", async () => {
    const { tokenizer } = await open(name);
    const random = seedRandom(32);
    for (let round = 0; round < 500; round++) {
      const ids = Array.from({ length: Math.floor(random() * 24) }, () => Math.floor(random() * (tokenizer.vocabSize + 2)));
      expect(stream(tokenizer, ids)).toBe(tokenizer.decode(ids, all));
    }
  });

  test("truncates to the first tokens, inside of those around a text", async () => {
    const { tokenizer, fixture } = await open(name);
    const inner = tokenizer.encode("the fox", bare);
    const begin = fixture.framed.findIndex((_, at) => inner.every((id, i) => fixture.framed[at + i] === id));
    const [prefix, suffix] = [fixture.framed.slice(0, begin), fixture.framed.slice(begin + inner.length)];
    const text = fixture.cases.map((one) => one.text).join(" the ");
    const ids = tokenizer.encode(text, bare);
    for (const room of [0, 1, 50, ids.length - 1, ids.length, ids.length + 5]) {
      const truncateTo = room + prefix.length + suffix.length;
      const cut = await tokenizer.encodeAsync(text, { addSpecialTokens: true, truncateTo, maxTokens: 1 });
      expect(cut).toEqual([...prefix, ...ids.slice(0, room), ...suffix]);
    }
  });

  test("gives the same ids for long texts in pieces", async () => {
    const { tokenizer, fixture } = await open(name);
    const random = seedRandom(7);
    for (const glue of [" and the dogs", "\nthen", "", "  "]) {
      let text = "";
      while (text.length < 40_000) text += fixture.cases[Math.floor(random() * fixture.cases.length)]!.text + glue;
      expect(await tokenizer.encodeAsync(text, bare)).toEqual(tokenizer.encode(text, bare));
    }
  });
});

test.each(["qwen", "llama2", "unigram", "bert-uncased"])(
  "%s: texts without a place to cut leave the event loop free",
  async (name) => {
    const { tokenizer } = await open(name);
    for (const unit of [" ", "東京は日本の首都", "a", "\n", "..", "नमस्ते"]) {
      const text = unit.repeat(100_000 / unit.length);
      const expected = tokenizer.encode(text, bare);
      let turns = 0;
      let watching = true;
      const watch = () => {
        turns++;
        if (watching) setImmediate(watch);
      };
      setImmediate(watch);
      const begun = process.cpuUsage();
      const ids = await tokenizer.encodeAsync(text, bare);
      const { user } = process.cpuUsage(begun);
      await Bun.sleep(1);
      watching = false;
      expect(ids).toEqual(expected);
      // What takes long lets others have their turns in between.
      if (user > 100_000) expect(turns).toBeGreaterThan(2);
    }
  },
);

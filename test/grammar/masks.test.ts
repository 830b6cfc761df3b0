import { beforeAll, describe, expect, test } from "bun:test";
import { vocabularyOf } from "../../src/engine/vocabulary.ts";
import { InvalidRequest } from "../../src/errors.ts";
import type { GrammarSpec } from "../../src/grammar/contract.ts";
import { COUNTED_LENGTH } from "../../src/grammar/schema/json-text.ts";
import { packVocabulary } from "../../src/grammar/vocabulary.ts";
import { MAY_END, MUST_END } from "../../src/grammar/worker/messages.ts";
import { TokenTable } from "../../src/grammar/worker/token-table.ts";
import { Prng } from "../engine/prng.ts";
import { loadSmallTokenizer } from "../text/small-tokenizers.ts";
import { Bench, tinyChatVocabulary } from "./vocabularies.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open(await tinyChatVocabulary());
});

const object = (properties: object, more: object = {}): GrammarSpec => ({
  kind: "json_schema",
  schema: { type: "object", properties, required: Object.keys(properties), additionalProperties: false, ...more },
});

const SPECS: [name: string, spec: GrammarSpec][] = [
  ["any object", { kind: "json_object" }],
  ["short strings", object({ a: { type: "string", maxLength: 5 }, b: { type: "string", minLength: 3, maxLength: 12 } })],
  ["long strings", object({ a: { type: "string", maxLength: 30 }, b: { type: "string", minLength: 2, maxLength: 60 } })],
  [
    "strings of several kinds",
    {
      kind: "json_schema",
      schema: {
        anyOf: [
          { type: "string", maxLength: 20 },
          { type: "string", pattern: "^[a-z ]+$" },
        ],
      },
    },
  ],
  [
    "other members",
    {
      kind: "json_schema",
      schema: {
        type: "object",
        properties: { name: {}, size: { type: "integer" } },
        additionalProperties: { type: "string", maxLength: 40 },
      },
    },
  ],
  ["a pattern", { kind: "regex", pattern: "([a-zé]+ ){2}[0-9]{2,4}\\.?" }],
  ["choices", { kind: "choice", choices: ["the quick fox", "the quick dog", "a", "überall 東京"] }],
  ["a grammar", { kind: "ebnf", text: 'root ::= "(" [^()"\\\\]* ")" | "[" root ("," root)* "]"' }],
  [
    "tags with a limit",
    {
      kind: "structural_tag",
      format: {
        type: "triggered_tags",
        triggers: ["<f>"],
        tags: [
          {
            type: "tag",
            begin: "<f>",
            content: { type: "json_schema", json_schema: { type: "string", maxLength: 25 } },
            end: "</f>",
          },
        ],
      },
    },
  ],
];

describe("masks allow exactly the tokens that the grammar can go on with", () => {
  for (const [name, spec] of SPECS) {
    test(name, async () => {
      const random = new Prng(name.length);
      const { matching, mask, exact } = await bench.session(spec);
      for (let step = 0; step < 45; step++) {
        const state = await matching.next();
        if (state & MUST_END) break;
        const allowed = bench.allowed(mask);
        const set = new Set(allowed);
        for (let id = 0; id < bench.packed.size; id++) {
          const bytes = bench.tokens.bytes(id);
          const fits = bytes.length > 0 && exact.acceptBytes(bytes);
          if (fits) exact.undo();
          // Tokens that might open a string and put too much into it are left out where lengths are limited.
          if (fits && !set.has(id) && /"[^"]{17}/.test(Buffer.from(bytes).toString("latin1"))) continue;
          expect({ step, token: Buffer.from(bytes).toString(), allowed: set.has(id) }).toEqual({
            step,
            token: Buffer.from(bytes).toString(),
            allowed: fits,
          });
        }
        const token = random.pick(bench.preferred(allowed, random));
        matching.accept(token);
        exact.acceptBytes(bench.tokens.bytes(token));
      }
      matching.dispose();
      exact.dispose();
    });
  }
});

test("what is drawn from masks satisfies the lengths, to the character", async () => {
  const random = new Prng(77);
  const spec = object({
    a: { type: "string", minLength: 18, maxLength: 22 },
    b: { type: "string", maxLength: COUNTED_LENGTH + 1 },
  });
  const lengths = new Set<number>();
  for (let round = 0; round < 40; round++) {
    const text = await bench.generate(spec, random, { most: 400, ending: 1 });
    if (text === null) continue;
    const { a, b } = JSON.parse(text) as { a: string; b: string };
    const [x, y] = [[...a].length, [...b].length];
    expect(x).toBeGreaterThanOrEqual(18);
    expect(x).toBeLessThanOrEqual(22);
    expect(y).toBeLessThanOrEqual(17);
    lengths.add(x);
  }
  expect(lengths.has(22)).toBe(true);
  expect(lengths.size).toBeGreaterThan(2);
});

test("a token that was not allowed is an error, and nothing follows the end", async () => {
  const { matching } = await bench.session({ kind: "choice", choices: ["a", "ab"] });
  const id = (text: string) =>
    Array.from({ length: bench.packed.size }, (_, i) => i).find((i) => Buffer.from(bench.tokens.bytes(i)).toString() === text)!;
  expect(await matching.next()).toBe(0);
  expect(() => matching.accept(id("b"))).toThrow(/was not allowed/);
  matching.accept(id("a"));
  expect(await matching.next()).toBe(MAY_END);
  matching.accept(id("b"));
  expect(await matching.next()).toBe(MAY_END | MUST_END);
  matching.dispose();
});

describe("vocabularies", () => {
  const pack = async (name: "llama2" | "gemma" | "metaspace" | "noDecoder" | "stripEach") => {
    const tokenizer = loadSmallTokenizer(name);
    return { tokenizer, table: new TokenTable(await packVocabulary(vocabularyOf(tokenizer, tokenizer.vocabSize, [2]))) };
  };

  test("of byte-level tokens are the bytes that they stand for, special and end tokens apart", async () => {
    const vocabulary = await tinyChatVocabulary();
    const packed = await packVocabulary(vocabulary);
    const table = new TokenTable(packed);
    let texts = 0;
    for (let id = 0; id < packed.size; id++) {
      const bytes = table.bytes(id);
      if (vocabulary.endTokenIds.includes(id)) expect(bytes).toHaveLength(0);
      else if (vocabulary.isSpecial(id)) {
        expect(bytes[0]).toBe(0xff);
        expect(packed.specials[((bytes[1]! & 0x7f) << 14) | ((bytes[2]! & 0x7f) << 7) | (bytes[3]! & 0x7f)]).toBe(
          Buffer.from(vocabulary.bytes(id)).toString(),
        );
      } else if (bytes.length > 0) {
        texts++;
        expect(Buffer.from(bytes)).toEqual(Buffer.from(vocabulary.bytes(id)));
      }
    }
    expect(texts).toBeGreaterThan(4000);
    expect(new Set(table.spellings().filter((spelling) => spelling !== "")).size).toBeGreaterThan(4000);
  });

  for (const name of ["llama2", "gemma"] as const) {
    test(`of ${name}'s kind spell bytes where there is no token for a character`, async () => {
      const { tokenizer } = await pack(name);
      const bench = await Bench.open(vocabularyOf(tokenizer, tokenizer.vocabSize, [2]));
      const { matching, mask, exact } = await bench.session({ kind: "choice", choices: ["the €", "the dog", "The"] });
      const found: string[] = [];
      const wanted = Buffer.from("the €");
      for (let at = 0; at < wanted.length; ) {
        await matching.next();
        const fitting = bench
          .allowed(mask)
          .filter((id) => wanted.subarray(at, at + bench.tokens.bytes(id).length).equals(Buffer.from(bench.tokens.bytes(id))));
        const token = fitting.sort((a, b) => bench.tokens.bytes(b).length - bench.tokens.bytes(a).length)[0]!;
        found.push(tokenizer.decode([token], { skipSpecialTokens: false }));
        matching.accept(token);
        at += bench.tokens.bytes(token).length;
      }
      expect(await matching.next()).toBe(MAY_END | MUST_END);
      // The euro sign is three bytes.
      expect(found.length).toBeGreaterThanOrEqual(4);
      matching.dispose();
      exact.dispose();
    });
  }

  test("whose tokens do not simply follow each other are refused", async () => {
    for (const name of ["noDecoder", "stripEach"] as const) {
      await expect(pack(name)).rejects.toThrow(InvalidRequest);
      await expect(pack(name)).rejects.toThrow(/cannot be held to a grammar/);
    }
  });
});

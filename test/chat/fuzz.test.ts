import { describe, expect, test } from "bun:test";
import { parserNames } from "../../src/chat/registry.ts";
import { type Family, merge, parse } from "./parse.ts";
import { samples } from "./samples.ts";

/** Numbers from 0 up to 1, the same ones every time (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function cut(text: string, random: () => number, meanLength: number): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length; ) {
    const length = 1 + Math.floor(random() * 2 * meanLength);
    pieces.push(text.slice(at, at + length));
    at += length;
  }
  return pieces;
}

describe("the way a text is cut changes nothing", () => {
  for (const [index, sample] of samples.entries()) {
    const { text } = sample;
    test(sample.title, () => {
      const whole = merge(parse([text], sample));
      for (let at = 1; at < text.length; at++) expect(merge(parse([text.slice(0, at), text.slice(at)], sample))).toEqual(whole);
      expect(merge(parse(text.split(""), sample))).toEqual(whole);
      const random = createRandom(index);
      for (let round = 0; round < 20; round++) expect(merge(parse(cut(text, random, 1 + round), sample))).toEqual(whole);
    });
  }
});

describe("an output that ends too early", () => {
  for (const sample of samples) {
    test(sample.title, () => {
      const full = merge(parse([sample.text], sample));
      for (let at = 0; at < sample.text.length; at++) {
        const text = sample.text.slice(0, at);
        const part = merge(parse([text], sample));
        expect(part).toEqual(merge(parse(text.split(""), sample)));
        for (const [index, call] of part.calls.entries()) {
          expect(call.name).toBe(full.calls[index]!.name);
          // What was sent of the arguments was right, and an unfinished call says so.
          if (call.malformed === null) expect(call).toEqual(full.calls[index]!);
          else expect(text).toContain(call.malformed);
        }
        expect(part.calls.slice(0, -1).every(({ malformed }) => malformed === null)).toBe(true);
      }
    });
  }
});

describe("any text", () => {
  const scraps = [
    ...new Set(samples.flatMap(({ text }) => text.match(/<[^<>]*>?|\[\w*\]?|[{}[\]",:()=]|[^<>{}[\]",:()=]+/g) ?? [])),
    "\ud83d",
    "\ude42",
    "\\",
    "\u0000",
    "'",
    '"""',
    "\n",
    "   ",
  ];
  const families: Family[] = parserNames.tools.flatMap((toolParser) =>
    ["none", "think", "gemma4"].map((reasoningParser) => ({ toolParser, reasoningParser, prompt: "<|start|>assistant" })),
  );
  for (const [index, family] of families.entries()) {
    test(`for ${family.toolParser} with ${family.reasoningParser} is read without an error, however it is cut`, () => {
      const random = createRandom(1000 + index);
      // Mostly scraps of the family itself, so that more than the first step is reached.
      const own = samples.filter(({ toolParser }) => toolParser === family.toolParser).map(({ text }) => text);
      const ownScraps = own.flatMap((text) => text.match(/<[^<>]*>?|\W|\w+/g) ?? []);
      for (let round = 0; round < 60; round++) {
        const count = Math.floor(random() * 60);
        const pieces = Array.from({ length: count }, () => {
          const pool = ownScraps.length > 0 && random() < 0.6 ? ownScraps : scraps;
          return pool[Math.floor(random() * pool.length)]!;
        });
        const text = pieces.join("");
        const whole = merge(parse([text], family));
        expect(merge(parse(pieces, family))).toEqual(whole);
        expect(merge(parse(cut(text, random, 3), family))).toEqual(whole);
      }
    });
  }
});

describe("a long output costs linear time", () => {
  const length = 200_000;
  const texts = {
    content: "word ".repeat(length / 5),
    "a mark that is none": "<tool_call>".repeat(length / 11),
    "white space": " \n".repeat(length / 2),
    "the first character of a mark": "<".repeat(length),
    brackets: `<tool_call>{"name": "now", "arguments": ${"[".repeat(length)}`,
    "a string": `<tool_call>{"name": "now", "arguments": {"a": "${"x\n".repeat(length / 2)}"}}</tool_call>`,
    "arguments before the name": `<tool_call>{"arguments": {"a": "${"y".repeat(length)}"}, "name": "now"}</tool_call>`,
  };
  for (const [title, text] of Object.entries(texts)) {
    test(title, () => {
      const family = { toolParser: "hermes", reasoningParser: "think" };
      const pieces = text.match(/[\s\S]{1,4}/g) ?? [];
      const began = performance.now();
      merge(parse(pieces, family));
      expect(performance.now() - began).toBeLessThan(1500);
    });
  }
});

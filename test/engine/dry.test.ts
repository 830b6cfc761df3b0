import { describe, expect, test } from "bun:test";
import { DryPenalty } from "../../src/engine/dry.ts";
import type { DryParams } from "../../src/engine/request.ts";
import { Prng } from "./prng.ts";

const DEFAULTS: DryParams = { multiplier: 0.8, base: 1.75, allowedLength: 2, range: 0, sequenceBreakers: [] };
/** The token of an id is a letter, `a` for 0. */
const letter = (id: number) => Buffer.from(String.fromCharCode(97 + id));
const ids = (text: string) => [...text].map((character) => character.charCodeAt(0) - 97);

function penaltiesOf(text: string, params: Partial<DryParams> = {}): Record<string, number> {
  const found = new DryPenalty({ ...DEFAULTS, ...params }, letter).penalties(Int32Array.from(ids(text)), []);
  return Object.fromEntries([...found].map(([id, penalty]) => [String(letter(id)), penalty]));
}

/** As text-generation-webui, where DRY comes from, computes it; breakers are tokens. */
function reference(tokens: readonly number[], params: DryParams, breakers: ReadonlySet<number>): Map<number, number> {
  const { multiplier, base, allowedLength, range } = params;
  const seen = range > 0 ? tokens.slice(-range) : tokens;
  const lengths = new Map<number, number>();
  const last = seen.length - 1;
  if (last < 0 || breakers.has(seen[last]!)) return lengths;
  for (let i = 0; i < last; i++) {
    const next = seen[i + 1]!;
    if (seen[i] !== seen[last] || breakers.has(next)) continue;
    let length = 1;
    while (length < allowedLength + 50 && i - length >= 0) {
      const before = seen[last - length]!;
      if (seen[i - length] !== before || breakers.has(before)) break;
      length++;
    }
    lengths.set(next, Math.max(length, lengths.get(next) ?? 0));
  }
  const long = [...lengths].filter(([, length]) => length >= allowedLength);
  return new Map(long.map(([id, length]) => [id, multiplier * base ** (length - allowedLength)]));
}

describe("DRY", () => {
  test("penalises what would go on with a repetition, by its length", () => {
    expect(penaltiesOf("abcdeabc")).toEqual({ d: 0.8 * 1.75 });
    expect(penaltiesOf("abcdeabc", { allowedLength: 3 })).toEqual({ d: 0.8 });
    expect(penaltiesOf("abcdeabc", { allowedLength: 4 })).toEqual({});
    expect(penaltiesOf("xbcyabcdeabc")).toEqual({ y: 0.8, d: 0.8 * 1.75 });
    expect(penaltiesOf("abcdeabc", { range: 5 })).toEqual({});
    expect(penaltiesOf("abcdeabc", { range: 7 })).toEqual({ d: 0.8 });
    expect(penaltiesOf("a")).toEqual({});
  });

  test("sees nothing across a sequence breaker", () => {
    expect(penaltiesOf("abcdeabc", { sequenceBreakers: ["c"] })).toEqual({});
    expect(penaltiesOf("abcdeabc", { sequenceBreakers: ["d"] })).toEqual({});
    expect(penaltiesOf("abcdeabc", { sequenceBreakers: ["a"] })).toEqual({ d: 0.8 });
    expect(penaltiesOf("abcdeabc", { sequenceBreakers: ["b", "q"], allowedLength: 1 })).toEqual({ d: 0.8 });
  });

  test("takes breakers for text, which a token may have inside and several may make", () => {
    const words = ["one", " two", ".\n", " st", "op", " op", "é"];
    const bytes = (id: number) => (id === 7 ? Uint8Array.of(0xc3) : id === 8 ? Uint8Array.of(0xa9) : Buffer.from(words[id]!));
    const next = (tokens: readonly number[], sequenceBreakers: string[]) =>
      [
        ...new DryPenalty({ ...DEFAULTS, allowedLength: 1, sequenceBreakers }, bytes)
          .penalties(Int32Array.from(tokens), [])
          .keys(),
      ].toSorted();
    expect(next([0, 1, 2, 0], ["\n"])).toEqual([1]);
    expect(next([2, 0, 1, 2], ["\n"])).toEqual([]);
    expect(next([3, 4, 1, 3, 4], ["stop"])).toEqual([]);
    expect(next([5, 4, 1, 5, 4], ["stop"])).toEqual([1]);
    expect(next([7, 8, 1, 7, 8], ["é"])).toEqual([]);
    expect(next([7, 8, 1, 7], ["é"])).toEqual([]);
    expect(next([6, 1, 6], ["é"])).toEqual([]);
    expect(next([8, 1, 8], ["é"])).toEqual([1]);
  });

  test("is what the reference computes, token by token", () => {
    const random = new Prng(4);
    for (let round = 0; round < 60; round++) {
      const letters = random.int(1, 5);
      const tokens = Array.from({ length: random.int(1, 150) }, () => random.int(0, letters));
      const breakers = random.chance(0.5) ? [random.int(0, letters)] : [];
      const params: DryParams = {
        multiplier: 0.1 + random.next(),
        base: 1 + random.next(),
        allowedLength: random.int(1, 4),
        range: random.pick([0, 0, 1, 3, 20]),
        sequenceBreakers: breakers.map((id) => String(letter(id))),
      };
      const split = random.int(1, tokens.length);
      const dry = new DryPenalty(params, letter);
      const output: number[] = [];
      for (let i = split; i <= tokens.length; i++) {
        const got = dry.penalties(Int32Array.from(tokens.slice(0, split)), output);
        expect(new Map([...got].toSorted())).toEqual(
          new Map([...reference(tokens.slice(0, i), params, new Set(breakers))].toSorted()),
        );
        if (i < tokens.length) output.push(tokens[i]!);
      }
    }
  });

  test("costs little whatever the text", () => {
    const tokens = new Int32Array(200_000).fill(3);
    const dry = new DryPenalty({ ...DEFAULTS, base: 10, multiplier: 100 }, letter);
    const started = performance.now();
    const output: number[] = [];
    for (let i = 0; i < 20; i++) {
      const [[id, penalty] = [0, 0]] = dry.penalties(tokens, output);
      expect([id, penalty]).toEqual([3, 100 * 10 ** 50]);
      output.push(3);
    }
    expect((performance.now() - started) / 20).toBeLessThan(20);
  });
});

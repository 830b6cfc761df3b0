import { describe, expect, test } from "bun:test";
import { Sequence } from "../../src/engine/sequence.ts";
import { request } from "./tiny-chat.ts";

function make(prompt: readonly number[], options: Parameters<typeof request>[1] = {}): Sequence {
  return new Sequence({
    id: 1,
    request: request(prompt, options),
    contextLength: 100,
    eosTokenIds: [7, 8],
    seed: 42,
    adapter: 0,
  });
}

/** What planning does when a token is sampled. */
function sampleOne(sequence: Sequence): void {
  sequence.length++;
  sequence.inFlight++;
}

describe("a sequence", () => {
  test("ends with its wanted length or the context", () => {
    expect([null, 0, 5, 98, 500].map((maxTokens) => make([1, 2], { maxTokens }).maxLength)).toEqual([100, 2, 7, 100, 100]);
  });

  test("knows its tokens but for those in flight", () => {
    const sequence = make([1, 2, 3]);
    sampleOne(sequence);
    sampleOne(sequence);
    sequence.receive(50);
    expect([0, 2, 3, 4].map((position) => sequence.token(position))).toEqual([1, 3, 50, null]);
    expect([sequence.sampledCount, sequence.inFlight]).toEqual([2, 1]);
  });

  test("takes no token that was on its way when it ended", () => {
    const sequence = make([1]);
    sampleOne(sequence);
    sampleOne(sequence);
    sequence.receive(50);
    sequence.finished = true;
    sequence.receive(51);
    expect([sequence.output, sequence.inFlight]).toEqual([[50], 0]);
  });

  test("ends at the model's end tokens and its own, or at its own alone", () => {
    expect([...make([1], { stopTokenIds: [9] }).endTokenIds]).toEqual([7, 8, 9]);
    expect([...make([1], { stopTokenIds: [9], ignoreEos: true }).endTokenIds]).toEqual([9]);
  });

  test("bans them for as many tokens as it is to have at least", () => {
    const sequence = make([1], { minTokens: 2 });
    const banned = [1, 2, 3].map(() => {
      sampleOne(sequence);
      return [...sequence.banned];
    });
    expect(banned).toEqual([[7, 8], [7, 8], []]);
    const free = make([1]);
    sampleOne(free);
    expect(free.banned).toEqual([]);
  });

  test("draws with its own seed or the one it is given", () => {
    expect([make([1], { seed: 5 }).seed, make([1], { seed: 0 }).seed, make([1]).seed]).toEqual([5, 0, 42]);
  });
});

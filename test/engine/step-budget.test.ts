import { describe, expect, test } from "bun:test";
import type { PrefillLoad } from "../../src/engine/scheduler.ts";
import { StepBudget } from "../../src/engine/step-budget.ts";

/** A machine on which decoding takes 8 ms a step and a prompt token 0.3 ms. */
function run(budget: StepBudget, decoding: number, prefill: number): void {
  budget.record({ decodeTokens: decoding, prefillTokens: prefill, ms: (decoding > 0 ? 8 : 0) + prefill * 0.3 });
}

function load(decoding: number, prompts: number, left = 10_000): PrefillLoad {
  return { decoding, prompts, left };
}

describe("StepBudget", () => {
  test("a prompt alone gets the whole step", () => {
    expect(new StepBudget(256).prefillLimit(load(0, 1))).toBe(256);
  });

  test("beside decoding rows a step takes at most 2.5 times as long as without the prompt", () => {
    const budget = new StepBudget(256);
    for (let i = 0; i < 20; i++) run(budget, 16, 0);
    for (let i = 0; i < 50; i++) run(budget, 16, budget.prefillLimit(load(16, 1)));
    const limit = budget.prefillLimit(load(16, 1)) || budget.prefillLimit(load(16, 1));
    expect(limit * 0.3).toBeGreaterThan(4);
    expect(limit * 0.3).toBeLessThanOrEqual(1.5 * 8);
  });

  test("what is left of all prompts goes in one step that takes at most 4 times as long", () => {
    const budget = new StepBudget(256);
    for (let i = 0; i < 20; i++) run(budget, 16, 0);
    for (let i = 0; i < 20; i++) run(budget, 16, 40);
    expect(budget.prefillLimit(load(16, 1, 78))).toBe(78);
    expect(budget.prefillLimit(load(16, 1, 82))).toBeLessThanOrEqual(40);
  });

  test("many who wait for their first token are not held up by a few who decode", () => {
    const budget = new StepBudget(256);
    for (let i = 0; i < 20; i++) run(budget, 2, 0);
    for (let i = 0; i < 20; i++) run(budget, 2, 40);
    expect(budget.prefillLimit(load(2, 62))).toBe(254);
  });

  test("of a crowd each counts the more, the larger it is; one by himself beside many counts as before", () => {
    const budget = new StepBudget(4096);
    for (let i = 0; i < 20; i++) run(budget, 48, 0);
    for (let i = 0; i < 20; i++) run(budget, 48, 40);
    for (let i = 0; i < 4; i++) budget.prefillLimit(load(48, 1));
    const [one, eight, sixteen] = [1, 8, 16].map((prompts) => budget.prefillLimit(load(48, prompts))) as [number, number, number];
    expect(one).toBeLessThan(64);
    expect(eight / one).toBeCloseTo((4 * 8 * 8) / 48, 0);
    expect(sixteen / eight).toBeCloseTo(4, 0);
  });

  test("decoding is measured by itself first and now and then, and prompts always make progress", () => {
    const budget = new StepBudget(256);
    expect(budget.prefillLimit(load(4, 1))).toBe(0);
    run(budget, 4, 0);
    const limits = Array.from({ length: 200 }, () => budget.prefillLimit(load(4, 1)));
    expect(limits.filter((limit) => limit === 0).length).toBe(3);
    // A machine so slow that nothing fits.
    for (let i = 0; i < 50; i++) budget.record({ decodeTokens: 4, prefillTokens: 16, ms: 10_000 });
    expect(Math.max(budget.prefillLimit(load(4, 1)), budget.prefillLimit(load(4, 1)))).toBe(16);
  });

  test("a prompt beside decoding rows begins with little and at most doubles", () => {
    const budget = new StepBudget(256);
    for (let i = 0; i < 20; i++) run(budget, 0, 256);
    for (let i = 0; i < 20; i++) budget.record({ decodeTokens: 16, prefillTokens: 0, ms: 100 });
    expect(Array.from({ length: 5 }, () => budget.prefillLimit(load(16, 1)))).toEqual([16, 32, 64, 128, 240]);
  });

  test("one slow step does not change the picture", () => {
    const budget = new StepBudget(256);
    for (let i = 0; i < 20; i++) run(budget, 16, 0);
    for (let i = 0; i < 20; i++) run(budget, 16, 40);
    const grown = Array.from({ length: 8 }, () => budget.prefillLimit(load(16, 1)));
    const before = grown.at(-1)!;
    budget.record({ decodeTokens: 16, prefillTokens: 40, ms: 60_000 });
    expect(budget.prefillLimit(load(16, 1))).toBeGreaterThan(before * 0.6);
  });
});

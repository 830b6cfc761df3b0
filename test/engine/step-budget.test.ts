import { describe, expect, test } from "bun:test";
import type { PrefillLoad } from "../../src/engine/scheduler.ts";
import { StepBudget } from "../../src/engine/step-budget.ts";

/** A machine on which decoding takes 8 ms a step and a prompt token 0.3 ms. */
function run(budget: StepBudget, decoding: number, prefill: number): void {
  budget.record({ decodeTokens: decoding, prefillTokens: prefill, ms: (decoding > 0 ? 8 : 0) + prefill * 0.3 });
}

/** Long answers under way, long requests waiting. */
function load(decoding: number, prompts: number): PrefillLoad {
  return { decoding, prompts, restOfMost: 500, leastWork: 1000 };
}

describe("StepBudget", () => {
  test("answers that are about to end go before much longer requests, for a quarter of a second at most", () => {
    const budget = new StepBudget(256);
    for (let i = 0; i < 20; i++) run(budget, 4, 0);
    for (let i = 0; i < 20; i++) run(budget, 4, 20);
    const rests = Array.from({ length: 20 }, (_, i) => 20 - i);
    for (const restOfMost of rests) expect(budget.prefillLimit({ ...load(4, 4), restOfMost, leastWork: 275 })).toBe(0);
    // The time is used up; half of it comes back with every prompt that goes on.
    expect(budget.prefillLimit({ ...load(4, 4), restOfMost: 20, leastWork: 275 })).toBeGreaterThan(0);
    expect(budget.prefillLimit({ ...load(4, 4), restOfMost: 20, leastWork: 275 })).toBe(0);
    // Not for what takes longer, nor before what is hardly longer.
    expect(budget.prefillLimit({ ...load(4, 4), restOfMost: 40, leastWork: 2000 })).toBeGreaterThan(0);
    expect(budget.prefillLimit({ ...load(4, 4), restOfMost: 20, leastWork: 140 })).toBeGreaterThan(0);
  });

  test("a prompt alone gets the whole step", () => {
    expect(new StepBudget(256).prefillLimit(load(0, 1))).toBe(256);
  });

  test("beside decoding rows a step takes at most twice as long as without the prompt", () => {
    const budget = new StepBudget(256);
    for (let i = 0; i < 20; i++) run(budget, 16, 0);
    for (let i = 0; i < 50; i++) run(budget, 16, budget.prefillLimit(load(16, 1)));
    const limit = budget.prefillLimit(load(16, 1)) || budget.prefillLimit(load(16, 1));
    expect(limit * 0.3).toBeGreaterThan(4);
    expect(limit * 0.3).toBeLessThanOrEqual(12);
  });

  test("many who wait for their first token are not held up by a few who decode", () => {
    const budget = new StepBudget(256);
    for (let i = 0; i < 20; i++) run(budget, 2, 0);
    for (let i = 0; i < 20; i++) run(budget, 2, 40);
    expect(budget.prefillLimit(load(2, 62))).toBe(254);
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

  test("one slow step does not change the picture", () => {
    const budget = new StepBudget(256);
    for (let i = 0; i < 20; i++) run(budget, 16, 0);
    for (let i = 0; i < 20; i++) run(budget, 16, 40);
    const before = budget.prefillLimit(load(16, 1));
    budget.record({ decodeTokens: 16, prefillTokens: 40, ms: 60_000 });
    expect(budget.prefillLimit(load(16, 1))).toBeGreaterThan(before * 0.7);
  });
});

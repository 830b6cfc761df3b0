import { describe, expect, test } from "bun:test";
import { GrowthBudget } from "../../src/prefix/growth.ts";

/** Takes all that it may, every 10 ms for so long; returns bytes and the time that they took. */
function fill(secondsPerByte: number, wantedPerSecond: number, duration: number) {
  const budget = new GrowthBudget();
  const touched = { bytes: 0, seconds: 0 };
  for (let now = 0; now < duration; now += 0.01) {
    const bytes = Math.min(budget.allowance(now, { ...touched }), wantedPerSecond / 100);
    touched.bytes += bytes;
    touched.seconds += bytes * secondsPerByte;
  }
  return touched;
}

describe("GrowthBudget", () => {
  test("where touching is quick nothing is held back", () => {
    expect(fill(0.1e-9, 100e6, 60).bytes).toBeCloseTo(60 * 100e6, -7);
  });

  test("where it is slow it takes two hundredths of the time, and a tenth of a second more", () => {
    for (const secondsPerByte of [2.5e-9, 10e-9]) {
      const { seconds } = fill(secondsPerByte, 1e9, 60);
      expect(seconds).toBeWithin(0.02 * 60, 0.02 * 60 + 0.5);
    }
  });

  test("what was touched while nobody computed counts for nothing", () => {
    const budget = new GrowthBudget();
    const before = budget.allowance(0, { bytes: 1e9, seconds: 5 });
    expect(before).toBeGreaterThan(100e6);
    expect(budget.allowance(0, { bytes: 1e9, seconds: 5 })).toBe(before);
  });

  test("time without work is not saved up", () => {
    const budget = new GrowthBudget();
    const most = budget.allowance(0, { bytes: 0, seconds: 0 });
    expect(budget.allowance(1e6, { bytes: 0, seconds: 0 })).toBe(most);
    // What has been used comes back with time.
    expect(budget.allowance(1e6, { bytes: 1e9, seconds: 0.2 })).toBe(0);
    expect(budget.allowance(1e6 + 4, { bytes: 1e9, seconds: 0.2 })).toBe(0);
    expect(budget.allowance(1e6 + 6, { bytes: 1e9, seconds: 0.2 })).toBeGreaterThan(0);
  });
});

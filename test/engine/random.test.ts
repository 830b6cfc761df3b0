import { describe, expect, test } from "bun:test";
import { randomSeed, uniform } from "../../src/engine/random.ts";

/** Deviations of the chi-square of 256 bins from its mean. */
function spread(numbers: readonly number[]): number {
  const bins = new Array<number>(256).fill(0);
  for (const x of numbers) bins[Math.floor(x * 256)]!++;
  const expected = numbers.length / 256;
  const chiSquare = bins.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  return (chiSquare - 255) / Math.sqrt(2 * 255);
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const sum = a.reduce((total, x, i) => total + (x - 0.5) * (b[i]! - 0.5), 0);
  return (sum / a.length) * 12;
}

describe("uniform numbers", () => {
  const count = 50_000;
  const streams: [name: string, at: (i: number) => number][] = [
    ["positions of seed 0", (i) => uniform(0, i)],
    ["positions of a large seed", (i) => uniform(Number.MAX_SAFE_INTEGER, i)],
    ["small seeds", (i) => uniform(i, 0)],
    ["negative seeds", (i) => uniform(-i, 5)],
    ["seeds that differ in the upper bits only", (i) => uniform(i * 2 ** 32, 1)],
    ["seeds and positions that run together", (i) => uniform(i, i)],
  ];
  test.each(streams)("over %s are uniform and independent", (_name, at) => {
    const numbers = Array.from({ length: count }, (_, i) => at(i));
    expect(numbers.every((x) => x >= 0 && x < 1 && Number.isInteger(x * 2 ** 24))).toBe(true);
    expect(Math.abs(spread(numbers))).toBeLessThan(4);
    for (const lag of [1, 2, 3, 64]) {
      expect(Math.abs(correlation(numbers.slice(lag), numbers.slice(0, -lag)))).toBeLessThan(4 / Math.sqrt(count));
    }
  });

  test("of neighbouring seeds and of a seed's other half are strangers", () => {
    const stream = (seed: number) => Array.from({ length: count }, (_, i) => uniform(seed, i));
    const base = stream(1234);
    for (const other of [1235, 1234 + 2 ** 32, -1234, 0]) {
      expect(Math.abs(correlation(base, stream(other)))).toBeLessThan(4 / Math.sqrt(count));
    }
    expect(stream(1234)).toEqual(base);
  });
});

test("seeds drawn for a request are safe integers and differ", () => {
  const seeds = Array.from({ length: 1000 }, randomSeed);
  expect(seeds.every((seed) => Number.isSafeInteger(seed) && seed >= 0)).toBe(true);
  expect(new Set(seeds).size).toBe(1000);
});

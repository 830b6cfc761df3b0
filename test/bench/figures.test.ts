import { describe, expect, test } from "bun:test";
import { gapsOf, measure, percentile, spreadOf } from "../../src/bench/figures.ts";
import type { Completion } from "../../src/bench/stream.ts";

const completion = (parts: Partial<Completion>): Completion => ({
  wanted: 3,
  start: 0,
  stamps: [],
  end: 0,
  promptTokens: null,
  outputTokens: null,
  error: null,
  ...parts,
});

test("percentiles are values that occurred, by nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect([0, 0.5, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([1, 50, 99, 100]);
  expect(percentile([3], 0.5)).toBe(3);
  expect(percentile([], 0.5)).toBeNaN();
  expect(spreadOf([])).toBeNull();
  expect(gapsOf([1, 3, 7])).toEqual([2, 4]);
});

describe("the figures of a run", () => {
  test("run from the first request to the last answer; failures count for nothing", () => {
    const figures = measure([
      completion({ start: 100, stamps: [200, 250, 300], end: 310, outputTokens: 3, promptTokens: 9 }),
      completion({ start: 110, stamps: [210, 1100], end: 1100, outputTokens: 2, promptTokens: 9 }),
      completion({ start: 100, end: 150, error: "HTTP 500: oh" }),
    ]);
    expect(figures).toEqual({
      requests: 3,
      errors: 1,
      firstError: "HTTP 500: oh",
      short: 1,
      wallMs: 1000,
      outputTokens: 5,
      tokensPerSecond: 5,
      promptTokens: 9,
      ttft: { p50: 100, p99: 100, max: 100 },
      itl: { p50: 50, p99: 890, max: 890 },
      latency: { p50: 210, p99: 990, max: 990 },
    });
  });

  test("a server without usage is counted by its pieces", () => {
    expect(measure([completion({ stamps: [1, 2, 3], end: 1000 })])).toMatchObject({
      outputTokens: 3,
      short: 0,
      promptTokens: null,
    });
  });
});

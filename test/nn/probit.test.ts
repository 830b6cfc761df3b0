import { expect, test } from "bun:test";
import { probit } from "../../src/nn/probit.ts";

/** Percentage points of the normal distribution to 10 digits. */
const POINTS: readonly [p: number, x: number][] = [
  [1e-12, -7.034483825],
  [1e-5, -4.264890794],
  [0.01, -2.326347874],
  [0.2, -0.8416212336],
  [0.5, 0],
  [0.75, 0.6744897502],
  [0.924, 1.432502721],
  [0.926, 1.446632067],
  [0.95, 1.644853627],
  [0.999, 3.090232306],
];

test.each(POINTS)("%p of the numbers lie below %p", (p, x) => {
  expect(Math.abs(probit(p) - x)).toBeLessThan(1e-6);
});

test("it rises, also where its pieces meet, and is odd around a half", () => {
  let last = Number.NEGATIVE_INFINITY;
  for (let p = 0.0005; p < 1; p += 0.0005) {
    const x = probit(p);
    expect(x).toBeGreaterThan(last);
    expect(Math.abs(x + probit(1 - p))).toBeLessThan(1e-9);
    last = x;
  }
});

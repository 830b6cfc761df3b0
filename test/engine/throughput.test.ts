import { expect, test } from "bun:test";
import { Throughput } from "../../src/engine/throughput.ts";

test("tokens a second are those of the last seconds of work, however long ago", () => {
  const throughput = new Throughput(1000);
  expect(throughput.perSecond).toBe(0);
  for (let i = 0; i < 100; i++) throughput.add(10, 4);
  expect(throughput.perSecond).toBeCloseTo(400, 6);
  // Only time with work is told, so a pause counts for nothing.
  for (let i = 0; i < 50; i++) throughput.add(10, 8);
  expect(throughput.perSecond).toBeCloseTo(600, 6);
  for (let i = 0; i < 100; i++) throughput.add(10, 8);
  expect(throughput.perSecond).toBeCloseTo(800, 6);
});

test("one long step counts alone", () => {
  const throughput = new Throughput(1000);
  throughput.add(10, 100);
  throughput.add(5000, 50);
  expect(throughput.perSecond).toBeCloseTo(10, 6);
});

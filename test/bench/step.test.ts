import { expect, test } from "bun:test";
import { join } from "node:path";
import { describeSteps, measureSteps } from "./step.ts";

test("one step, part by part, with its output streamed", async () => {
  const directory = join(import.meta.dir, "../../src/assets/tiny-chat");
  const { layers, results } = await measureSteps(directory, [1, 3], 4, 0);
  expect(layers).toBe(6);
  for (const { batch, times, step, ops, streamedBytes } of results) {
    for (const time of Object.values(times)) expect(time).toBeGreaterThanOrEqual(0);
    expect(times.native).toBeGreaterThan(0);
    expect(step).toBeGreaterThan(0);
    // The graph of a step does not grow with its batch.
    expect([...ops.values()].reduce((sum, n) => sum + n, 0)).toBeLessThan(40 * layers);
    expect(streamedBytes).toBeGreaterThan(batch * 1000);
  }
  const [header, , first] = describeSteps(layers, results).split("\n");
  expect(first!.split("|")).toHaveLength(header!.split("|").length);
}, 60_000);

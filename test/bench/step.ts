/**
 * `bun run bench:step [--model DIR] [--batch 1,8,32,64] [--steps N] [--temperature T]`: where the time of one decode step goes, in
 * this process, in microseconds (medians). `step` is one of a row of steps as the engine makes them, one ahead.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { percentile } from "../../src/bench/figures.ts";
import { ContinuousBatchingServer } from "../../src/engine/server.ts";
import { createContext } from "../../src/http/context.ts";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { embeddedModelDirectory } from "../../src/models/embedded.ts";
import { loadModel } from "../../src/models/load.ts";
import { loadTokenizer } from "../../src/text/tokenizer.ts";
import { BENCH_DIR } from "./peers.ts";
import { StepDriver, type StepTimes } from "./step-driver.ts";

export interface StepResult {
  batch: number;
  /** Medians in milliseconds. */
  times: StepTimes;
  step: number;
  ops: Map<string, number>;
  streamedBytes: number;
}

const parts: (keyof StepTimes)[] = ["schedule", "open", "forward", "sampling", "submit", "native", "read", "detokenize", "sse"];

/** Measures a model directory at several batch sizes. */
export async function measureSteps(directory: string, batches: readonly number[], steps: number, temperature: number) {
  const device = openMlx(locateNativeLibrary());
  const checkpoint = await openCheckpoint(directory);
  const { tokenizerJson, tokenizerConfig } = checkpoint;
  const tokenizer = loadTokenizer({ tokenizerJson, tokenizerConfig: tokenizerConfig ?? {} });
  const context = createContext(new ContinuousBatchingServer(directory), {});
  const loaded = await loadModel(checkpoint);
  const results: StepResult[] = [];
  for (const batch of batches) {
    const driver = new StepDriver(loaded, tokenizer, context, batch, temperature);
    await driver.prefill();
    for (let i = 0; i < 5; i++) await driver.step();
    const times: StepTimes[] = [];
    for (let i = 0; i < steps; i++) times.push(await driver.step());
    const pipelined = await driver.pipeline(steps + 5);
    const ops = await driver.countOps();
    const median = (part: keyof StepTimes) =>
      percentile(
        times.map((one) => one[part]),
        0.5,
      );
    results.push({
      batch,
      times: Object.fromEntries(parts.map((part) => [part, median(part)])) as unknown as StepTimes,
      step: percentile(pipelined.slice(5), 0.5),
      ops,
      streamedBytes: driver.streamedBytes,
    });
    driver.free();
  }
  const layers = loaded.model.caches.length;
  loaded.free();
  return { device, layers, results };
}

export function describeSteps(layers: number, results: readonly StepResult[]): string {
  const microseconds = (ms: number) => (ms * 1000).toFixed(0);
  const count = ({ ops }: StepResult) => [...ops.values()].reduce((sum, n) => sum + n, 0);
  const rows = results.map((result) => {
    const { batch, times, step } = result;
    const host = parts.filter((part) => part !== "native").reduce((sum, part) => sum + times[part], 0);
    return [
      String(batch),
      ...parts.map((part) => microseconds(times[part])),
      microseconds(host),
      microseconds(step),
      `${((100 * host) / step).toFixed(0)} %`,
      ((batch * 1000) / step).toFixed(0),
      String(count(result)),
      (count(result) / layers).toFixed(1),
    ];
  });
  const header = ["batch", ...parts, "all but native", "step", "share", "tok/s", "ops", "ops/layer"];
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const last = results.at(-1);
  const names = last ? [...last.ops].sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name} ${n}`) : [];
  return [line(header), line(header.map(() => "---:")), ...rows.map(line), "", `Operations of a step: ${names.join(", ")}`].join(
    "\n",
  );
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      model: { type: "string" },
      batch: { type: "string", default: "1,8,32,64" },
      steps: { type: "string", default: "80" },
      temperature: { type: "string", default: "0" },
    },
  });
  const named = values.model === undefined ? null : join(BENCH_DIR, "models", values.model);
  const directory = named === null ? await embeddedModelDirectory() : existsSync(named) ? named : values.model!;
  const batches = values.batch.split(",").map(Number);
  const { device, layers, results } = await measureSteps(directory, batches, Number(values.steps), Number(values.temperature));
  console.log(`${directory} on the ${device}, ${layers} layers; microseconds\n\n${describeSteps(layers, results)}`);
  process.exit(0);
}

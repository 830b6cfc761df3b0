import { beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { openCheckpoint } from "../../src/models/checkpoint.ts";
import { prepareModel, readModel } from "../../src/models/load.ts";
import { summarizeModel } from "../../src/models/summary.ts";
import { fixtures } from "./model-directories.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const prepare = async (name: string, quantize: 4 | 8 | null = null) =>
  prepareModel(await openCheckpoint(join(fixtures, "parity", name)), { quantize });
const summarize = async (name: string, kvBytes = 1e9) => summarizeModel(await prepare(name), kvBytes);

const cases = readdirSync(join(fixtures, "parity"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
test.each(cases.map(({ name }) => name))("%s takes what was foretold", async (name) => {
  const prepared = await prepare(name);
  const { weightBytes, parameters, bitsPerWeight, caches } = summarizeModel(prepared, 1e9);
  const loaded = await readModel(prepared);
  loaded.free();
  expect(loaded.bytes).toBe(weightBytes);
  expect(parameters).toBeGreaterThan(1000);
  expect(bitsPerWeight).toBeGreaterThan(3);
  expect(bitsPerWeight).toBeLessThanOrEqual(32);
  expect(caches.reduce((sum, { count }) => sum + count, 0)).toBe(loaded.model.caches.length);
});

describe("a summary", () => {
  test("counts parameters and bits as mlx-lm does", async () => {
    // Three matrices of 4-bit groups with float32 scales: 4 + 2 * 32 / 64 bits.
    const { parameters, bitsPerWeight, quantization } = await summarize("llama-q4-g64");
    expect(parameters).toBe(435_072);
    expect(bitsPerWeight).toBeCloseTo(5.06, 2);
    expect(quantization).toEqual([{ mode: "affine", bits: 4, groupSize: 64, share: expect.closeTo(0.998, 3) }]);
  });

  test("names every way of quantization, the most common first", async () => {
    const { quantization } = await summarize("llama-mixed_4_6");
    expect(quantization.map(({ bits }) => bits)).toEqual([4, 6]);
    expect((await summarize("llama-plain")).quantization).toEqual([]);
  });

  test("tells what grows with the context from what does not", async () => {
    // Two layers of two heads of 32 and 32; three more see a window of 16, in rows of 576.
    const { kvBytesPerToken, stateBytesPerSequence } = await summarize("exaone4-hybrid");
    expect([kvBytesPerToken, stateBytesPerSequence]).toEqual([256, 442_368]);
    expect((await summarize("mamba2")).kvBytesPerToken).toBe(0);
  });

  test("the context that fits is a capacity of the caches' rows", async () => {
    const fits = async (kvBytes: number) => (await summarize("llama-plain", kvBytes)).maxContext;
    expect(await Promise.all([768 * 4096, 768 * 4096 - 1, 768 * 300, 768 * 255].map(fits))).toEqual([4096, 2048, 256, 0]);
  });

  test("of a model to be quantized is that of the quantized one", async () => {
    const prepared = await prepare("llama-plain", 4);
    const { bitsPerWeight, quantization, weightBytes } = summarizeModel(prepared, 1e9);
    expect(quantization[0]).toMatchObject({ mode: "affine", bits: 4, groupSize: 64 });
    expect(bitsPerWeight).toBeLessThan(10);
    const loaded = await readModel(prepared);
    loaded.free();
    expect(loaded.bytes).toBe(weightBytes);
  });
});

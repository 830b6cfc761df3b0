import { beforeAll, describe, expect, test } from "bun:test";
import { InPlaceTensor } from "../../src/kv/in-place-tensor.ts";
import {
  evaluate,
  floats,
  ints,
  keep,
  liveArrays,
  openMlx,
  readFloats,
  readInts,
  release,
  scalar,
  scope,
  submit,
} from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import type { MxArray } from "../../src/mlx/ffi.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { activeMemory, clearCache, peakMemory } from "../../src/mlx/memory.ts";
import * as mx from "../../src/mlx/ops.ts";

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

const MIB = 2 ** 20;

describe("completions", () => {
  test("come once each and in order, many at a time, under garbage collection", async () => {
    const total = 20_000;
    const window = 100;
    const order: number[] = [];
    const before = liveArrays();
    for (let first = 0; first < total; first += window) {
      const batch = Array.from({ length: window }, (_, i) => {
        const ticket = first + i;
        const { result, done } = submit(() => {
          const sum = keep(mx.add(ints([ticket]), ints([1])));
          return { outputs: [sum], awaited: 1, result: sum };
        });
        return done.then(() => {
          order.push(ticket);
          const [value] = readInts(result);
          release(result);
          return value === ticket + 1;
        });
      });
      // Garbage for the collector to find while the callbacks come.
      const garbage = Array.from({ length: 200 }, (_, i) => ({ i, text: `${i}`.repeat(5) }));
      if (first % 1000 === 0) Bun.gc(true);
      expect((await Promise.all(batch)).every(Boolean)).toBe(true);
      expect(garbage.length).toBe(200);
    }
    expect(order).toEqual(Array.from({ length: total }, (_, i) => i));
    expect(liveArrays()).toBe(before);
  });

  test("come while the loop goes on", async () => {
    const size = 1024;
    const matmuls = 24;
    const matrix = keep(mx.full([size, size], 1 / size, DTYPES.float32));
    const run = () =>
      submit(() => {
        let product = matrix;
        for (let i = 0; i < matmuls; i++) product = mx.matmul(product, matrix);
        const corner = keep(mx.contiguous(mx.slice(product, [0, 0], [1, 1])));
        return { outputs: [corner], awaited: 1, result: corner };
      });
    const gaps: number[] = [];
    let last = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      gaps.push(now - last);
      last = now;
    }, 2);
    const begun = performance.now();
    const { result, done } = run();
    const submitted = performance.now() - begun;
    await done;
    const took = performance.now() - begun;
    clearInterval(timer);
    expect(readFloats(result)[0]).toBeCloseTo(1 / size, 6);
    release(result);
    release(matrix);
    expect(took).toBeGreaterThan(100);
    expect(submitted).toBeLessThan(took / 4);
    expect(gaps.length).toBeGreaterThan(10);
    expect(Math.max(...gaps)).toBeLessThan(took / 3);
  });

  test("come for a submission without outputs as well", async () => {
    await submit(() => ({ outputs: [], awaited: 0, result: null })).done;
  });
});

describe("memory", () => {
  test("stays flat over 10,000 steps that keep and release as the engine's do", async () => {
    const cache = new InPlaceTensor(mx.zeros([4, 2, 64, 8], DTYPES.float32));
    let inFlight: { tokens: MxArray; done: Promise<void> } | null = null;
    const step = async (i: number) => {
      const { result, done } = submit(() => {
        const previous = inFlight ? mx.take(inFlight.tokens, ints([0, 1, 2, 3]), 0) : ints([0, 0, 0, 0]);
        const values = mx.reshape(
          mx.astype(mx.broadcastTo(mx.reshape(previous, [4, 1, 1]), [4, 2, 8]), DTYPES.float32),
          [4, 2, 8],
        );
        cache.update((owned) => mx.scatterPositions(owned, ints([0, 1, 2, 3]), ints([i % 64, 1, 2, 3]), values));
        const tokens = keep(mx.contiguous(mx.add(previous, ints([1]))));
        return { outputs: [tokens, cache.array], awaited: 1, result: tokens };
      });
      cache.settle();
      const before = inFlight;
      inFlight = { tokens: result, done };
      if (before) {
        await before.done;
        release(before.tokens);
      }
    };
    const measure = () => {
      Bun.gc(true);
      return { arrays: liveArrays(), active: activeMemory(), rss: process.memoryUsage.rss() };
    };
    for (let i = 0; i < 2000; i++) await step(i);
    const early = measure();
    for (let i = 2000; i < 12_000; i++) await step(i);
    const late = measure();
    const { tokens, done } = inFlight!;
    await done;
    expect([...readInts(tokens)]).toEqual([12_000, 12_000, 12_000, 12_000]);
    release(tokens);
    cache.free();
    expect(late.arrays).toBe(early.arrays);
    expect(late.active).toBeLessThanOrEqual(early.active + 4096);
    expect(late.rss - early.rss).toBeLessThan(32 * MIB);
  });

  test("is given back when a builder throws after many operations", () => {
    const before = [liveArrays(), activeMemory()];
    for (let i = 0; i < 200; i++) {
      expect(() =>
        submit(() => {
          const big = floats(new Float32Array(100_000));
          mx.add(big, big);
          throw new Error("no");
        }),
      ).toThrow("no");
    }
    expect([liveArrays(), activeMemory()]).toEqual(before);
  });

  /** Steps that each write one position of a tensor of `rows` MiB and then compute on, two of them under way at any time. */
  async function writeInSteps(tensor: InPlaceTensor, rows: number): Promise<void> {
    let behind = Promise.resolve();
    for (let i = 0; i < 12; i++) {
      const { done } = submit(() => {
        const value = mx.full([1, 1, 1024], i + 1, DTYPES.float32);
        tensor.update((owned) => mx.scatterPositions(owned, ints([i % rows]), ints([i]), value));
        const read = mx.broadcastTo(mx.slice(tensor.array, [0, 0, 0, 0], [1, 1, 1, 1024]), [1, 1, 1024, 1024]);
        return { outputs: [mx.matmul(read, read), tensor.array], awaited: 1, result: null };
      });
      tensor.settle();
      await behind;
      behind = done;
    }
    await behind;
  }

  test("does not grow when a tensor is updated in place in steps that overlap", async () => {
    clearCache();
    // Larger than anything before, so that a copy must show in the peak.
    const rows = Math.ceil((peakMemory() - activeMemory()) / MIB) + 64;
    const tensor = new InPlaceTensor(mx.zeros([rows, 1, 256, 1024], DTYPES.float32));
    evaluate(tensor.array);
    const peak = peakMemory();
    await writeInSteps(tensor, rows);
    // The matrices of two steps, and no copy of the tensor.
    expect(peakMemory() - peak).toBeLessThan(32 * MIB);
    scope(() => {
      const written = mx.contiguous(mx.slice(tensor.array, [3, 0, 3, 0], [4, 1, 4, 1]));
      evaluate(written);
      expect([...readFloats(written)]).toEqual([4]);
    });
    tensor.free();
    clearCache();
  });

  test("figures are of bytes in use and of what is kept for reuse", () => {
    const before = activeMemory();
    const array = keep(mx.zeros([8, MIB / 4], DTYPES.float32));
    evaluate(array);
    expect(Math.round((activeMemory() - before) / MIB)).toBe(8);
    expect(peakMemory()).toBeGreaterThanOrEqual(activeMemory());
    release(array);
    expect(activeMemory() - before).toBeLessThan(MIB);
    release(keep(scalar(1)));
  });
});

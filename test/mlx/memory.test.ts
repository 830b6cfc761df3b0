import { afterAll, beforeAll, expect, test } from "bun:test";
import { evaluate, floats, keep, openMlx, readFloats, release, scope } from "../../src/mlx/array.ts";
import { DTYPES } from "../../src/mlx/dtype.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import {
  activeMemory,
  cacheMemory,
  clearCache,
  prepareBlock,
  readyBlockMemory,
  reservePlaces,
  touchedBlockMemory,
} from "../../src/mlx/memory.ts";
import * as mx from "../../src/mlx/ops.ts";

const MEGABYTE = 2 ** 20;

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

afterAll(() => {
  reservePlaces("blocks", 0);
  reservePlaces("rows", 0);
  clearCache();
});

/** How often there was something to do. */
function prepareAll(bytes: number, reserve: number): number {
  let times = 0;
  reservePlaces("blocks", reserve);
  while (prepareBlock(bytes, reserve)) times++;
  return times;
}

test("memory for blocks is made ready one by one, and is kept as far as it is reserved", () => {
  clearCache();
  const [cache, active] = [cacheMemory(), activeMemory()];
  // Two pieces and what the header takes.
  expect(prepareAll(MEGABYTE, 100.5 * MEGABYTE)).toBe(3 * 100);
  expect(cacheMemory() - cache).toBeGreaterThanOrEqual(100 * MEGABYTE);
  expect(cacheMemory() - cache).toBeLessThanOrEqual(100.5 * MEGABYTE);
  clearCache();
  expect(prepareBlock(MEGABYTE, 100.5 * MEGABYTE)).toBe(false);
  expect(activeMemory()).toBe(active);
  expect(prepareAll(MEGABYTE, 10 * MEGABYTE)).toBe(0);
  clearCache();
  expect(cacheMemory() - cache).toBeLessThanOrEqual(10 * MEGABYTE);
  reservePlaces("blocks", 0);
  clearCache();
  expect(cacheMemory()).toBe(cache);
});

test("memory for a large block is made ready piece by piece", () => {
  const cache = cacheMemory();
  expect(prepareAll(50 * MEGABYTE, 60 * MEGABYTE)).toBeGreaterThan(10);
  expect(cacheMemory() - cache).toBeWithin(50 * MEGABYTE, 50.1 * MEGABYTE);
  expect(() => prepareBlock(2 ** 60, 2 ** 61)).toThrow("out of memory");
});

test("what copies into blocks touch for the first time is counted, and how long it takes", () => {
  clearCache();
  const bytes = 2 * 64 * 256 * 4;
  const cache = scope(() => {
    const array = keep(mx.contiguous(mx.full([1, 2, 64, 256], 1, DTYPES.float32)));
    evaluate(array);
    return array;
  });
  const copy = () =>
    scope(() => {
      const block = keep(mx.cpuExportTokens([cache], 0, 0, 64));
      evaluate(block);
      return block;
    });
  const before = touchedBlockMemory();
  const block = copy();
  const after = touchedBlockMemory();
  expect(after.bytes - before.bytes).toBeWithin(bytes, bytes + 1000);
  expect(after.seconds).toBeGreaterThan(before.seconds);
  // A free block's memory is ready for the next one.
  const ready = readyBlockMemory();
  release(block);
  expect(readyBlockMemory() - ready).toBeWithin(bytes, bytes + 1000);
  release(copy());
  expect(touchedBlockMemory()).toEqual(after);
  release(cache);
});

test("cache rows grow where they are, and leave their memory to the next", () => {
  const room = 64;
  const shape = (rows: number) => [rows, 2, 256, 64];
  const rowBytes = 2 * 256 * 64 * 4;
  reservePlaces("rows", 20 * MEGABYTE);
  clearCache();
  const [cache, active] = [cacheMemory(), activeMemory()];
  const near = (value: number, bytes: number) => expect(Math.abs(value - bytes)).toBeLessThan(1000);
  const evaluated = (build: () => ReturnType<typeof mx.renew>) =>
    scope(() => {
      const array = keep(build());
      evaluate(array);
      return array;
    });
  release(evaluated(() => mx.cpuEmptyRows(shape(16), room)));
  near(cacheMemory() - cache, 16 * rowBytes);
  let array = evaluated(() => mx.cpuEmptyRows(shape(4), room));
  near(activeMemory() - active, 4 * rowBytes);
  near(cacheMemory(), cache);
  const content = Float32Array.from({ length: rowBytes / 4 }, (_, i) => i);
  release(evaluated(() => mx.cpuCopyRow([floats(content, shape(1))], [array], 0, 3, [256])));
  const check = () => {
    const row = evaluated(() => mx.contiguous(mx.slice(array, [3, 0, 0, 0], [4, 2, 256, 64])));
    expect(readFloats(row)).toEqual(content);
    release(row);
  };
  for (const rows of [8, 64]) {
    const more = evaluated(() => mx.cpuMoreRows(mx.renew(array, []), rows, room));
    release(array);
    array = more;
    near(activeMemory() - active, rows * rowBytes);
    check();
  }
  // No room for these: they go elsewhere.
  const most = evaluated(() => mx.cpuMoreRows(mx.renew(array, []), 65, 0));
  release(array);
  near(activeMemory() - active, 65 * rowBytes);
  array = most;
  check();
  release(most);
  near(activeMemory() - active, 0);
  expect(cacheMemory() - cache).toBeWithin(16 * rowBytes, 20 * MEGABYTE);
  clearCache();
  expect(cacheMemory()).toBeLessThanOrEqual(cache);
});

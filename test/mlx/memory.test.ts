import { afterAll, beforeAll, expect, test } from "bun:test";
import { openMlx } from "../../src/mlx/array.ts";
import { locateNativeLibrary } from "../../src/mlx/library.ts";
import { activeMemory, cacheMemory, clearCache, prepareBlockMemory } from "../../src/mlx/memory.ts";

const MEGABYTE = 2 ** 20;

beforeAll(() => {
  openMlx(locateNativeLibrary(), true);
});

afterAll(() => {
  prepareBlockMemory(MEGABYTE, 0);
  clearCache();
});

test("memory for blocks is made ready one by one, up to the reserve, and is kept until that is taken back", () => {
  prepareBlockMemory(MEGABYTE, 0);
  clearCache();
  const [cache, active] = [cacheMemory(), activeMemory()];
  let ready = 0;
  while (prepareBlockMemory(MEGABYTE, 100.5 * MEGABYTE)) ready++;
  expect(ready).toBe(100);
  expect(cacheMemory() - cache).toBeGreaterThanOrEqual(100 * MEGABYTE);
  expect(cacheMemory() - cache).toBeLessThanOrEqual(100.5 * MEGABYTE);
  clearCache();
  expect(prepareBlockMemory(MEGABYTE, 100.5 * MEGABYTE)).toBe(false);
  expect(activeMemory()).toBe(active);
  expect(prepareBlockMemory(MEGABYTE, 10 * MEGABYTE)).toBe(false);
  clearCache();
  expect(cacheMemory() - cache).toBeLessThanOrEqual(10 * MEGABYTE);
  prepareBlockMemory(MEGABYTE, 0);
  clearCache();
  expect(cacheMemory()).toBe(cache);
});

test("memory for a block larger than a slab", () => {
  const cache = cacheMemory();
  expect(prepareBlockMemory(50 * MEGABYTE, 60 * MEGABYTE)).toBe(true);
  expect(prepareBlockMemory(50 * MEGABYTE, 60 * MEGABYTE)).toBe(false);
  expect(cacheMemory() - cache).toBeGreaterThanOrEqual(50 * MEGABYTE);
  expect(() => prepareBlockMemory(2 ** 60, 2 ** 61)).toThrow();
});

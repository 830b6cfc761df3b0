/** The cache rows of an engine: their table, their tensors, and what is kept of their memory. */
import { KvPool } from "../kv/pool.ts";
import { rowBytes } from "../kv/row-size.ts";
import { RowTable, sizeClasses } from "../kv/rows.ts";
import { reservePlaces } from "../mlx/memory.ts";
import type { LoadedModel } from "../models/load.ts";

/** Memory that rows leave to the next ones, until there has been no work for a while: a page's first touch may take longer than what is done with it. */
const KEPT_BYTES = 2 ** 29;

export interface CacheOptions {
  contextLength: number;
  maxBatchSize: number;
  /** Limit for all cache tensors together. */
  kvBudgetBytes: number;
  /** Capacity of the smallest cache row; tests make it small. */
  smallestSizeClass?: number;
}

export function openCaches({ model: { caches }, dtype }: LoadedModel, options: CacheOptions): [RowTable, KvPool] {
  const { contextLength, maxBatchSize, kvBudgetBytes, smallestSizeClass } = options;
  const capacities = sizeClasses(contextLength, smallestSizeClass);
  const rows = new RowTable({
    capacities,
    rowBytes: (capacity) => rowBytes(caches, dtype, capacity),
    budgetBytes: kvBudgetBytes,
  });
  // Where memory is ample a class has room for twice the rows in use.
  const room = (sizeClass: number) => Math.min(2 * maxBatchSize, rows.mostRows(sizeClass));
  reservePlaces("rows", Math.min(KEPT_BYTES, kvBudgetBytes / 8));
  return [rows, new KvPool(caches, capacities, dtype, { room })];
}

/** What rows had goes back to the system as soon as they are free. */
export function dropCacheMemory(): void {
  reservePlaces("rows", 0);
}

/** What MLX's allocator says, in bytes. */
import { checkedOk, ffi } from "./ffi.ts";

export function activeMemory(): number {
  return ffi.shim_active_memory() as number;
}

export function peakMemory(): number {
  return ffi.shim_peak_memory() as number;
}

/** Free memory that is kept for reuse: MLX's buffers, and places for the prefix cache's blocks. */
export function cacheMemory(): number {
  return ffi.shim_cache_memory() as number;
}

export function setMemoryLimit(bytes: number): void {
  checkedOk(ffi.shim_set_memory_limit(bytes));
}

export function setCacheLimit(bytes: number): void {
  checkedOk(ffi.shim_set_cache_limit(bytes));
}

export function clearCache(): void {
  checkedOk(ffi.shim_clear_cache());
}

/**
 * Readies memory for one more of the prefix cache's blocks of so many bytes, until there are `reserve` bytes of it; from then on so much is
 * kept. False when there is nothing to do.
 */
export function prepareBlockMemory(bytes: number, reserve: number): boolean {
  const result = ffi.shim_prepare_block_memory(bytes, reserve);
  checkedOk(result);
  return result === 2;
}

/** Memory that the device recommends to use at most; 0 on the CPU, where the system's memory counts. */
export function deviceMemory(): number {
  return ffi.shim_device_memory() as number;
}

/** What MLX's allocator says, in bytes. */
import { checkedOk, ffi } from "./ffi.ts";

export function activeMemory(): number {
  return ffi.shim_active_memory() as number;
}

export function peakMemory(): number {
  return ffi.shim_peak_memory() as number;
}

/** Freed buffers that MLX keeps for reuse. */
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

/** Memory that the device recommends to use at most; 0 on the CPU, where the system's memory counts. */
export function deviceMemory(): number {
  return ffi.shim_device_memory() as number;
}

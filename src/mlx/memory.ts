/** What MLX's allocator says, in bytes. */
import { checkedOk, ffi } from "./ffi.ts";

export function activeMemory(): number {
  return ffi.shim_active_memory() as number;
}

export function peakMemory(): number {
  return ffi.shim_peak_memory() as number;
}

/** Free memory that is kept for reuse: MLX's buffers, and places for cache rows and the prefix cache's blocks. */
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

/** What memory of our own is for: the prefix cache's blocks, or tensors of cache rows. */
export type Places = "blocks" | "rows";

/** Of free places so many bytes keep their memory from now on: of blocks always, of rows until `clearCache`. */
export function reservePlaces(places: Places, bytes: number): void {
  checkedOk(ffi.shim_reserve_places(places === "rows" ? 1 : 0, bytes));
}

/** Readies memory for a block of so many bytes, or a part of it, until blocks of `reserve` bytes are ready. False when there is nothing to do. */
export function prepareBlock(bytes: number, reserve: number): boolean {
  const result = ffi.shim_prepare_block(bytes, reserve);
  checkedOk(result);
  return result === 2;
}

/** Free memory for blocks that has been touched before, in bytes. */
export function readyBlockMemory(): number {
  return ffi.shim_ready_block_memory() as number;
}

/** What copies into blocks have touched for the first time since the start, and how long those copies took. */
export function touchedBlockMemory(): { bytes: number; seconds: number } {
  return { bytes: ffi.shim_touched_block_memory() as number, seconds: ffi.shim_touching_seconds() as number };
}

/** Memory that the device recommends to use at most; 0 on the CPU, where the system's memory counts. */
export function deviceMemory(): number {
  return ffi.shim_device_memory() as number;
}

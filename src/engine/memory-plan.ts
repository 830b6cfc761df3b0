import { StartupError } from "../errors.ts";
import { machineMemory } from "../memory-size.ts";
import { activeMemory, cacheMemory, deviceMemory, peakMemory } from "../mlx/memory.ts";
import type { EngineStats } from "./request.ts";

export interface MemoryPlan {
  /** For the cache tensors of all sequences together. */
  kvBytes: number;
  /** What MLX may keep of freed buffers. */
  cacheBytes: number;
}

/** `open`: whether a model is loaded. */
export function memoryStats(open: boolean): Pick<EngineStats, "activeMemoryBytes" | "peakMemoryBytes" | "cacheMemoryBytes"> {
  return {
    activeMemoryBytes: open ? activeMemory() : 0,
    peakMemoryBytes: open ? peakMemory() : 0,
    cacheMemoryBytes: open ? cacheMemory() : 0,
  };
}

/** Bytes for everything: as asked for, else what the GPU recommends, else most of the machine's memory. MLX must be open. */
export function memoryLimit({ memoryLimit, cpu = false }: { memoryLimit?: number; cpu?: boolean }): number {
  const gpuMemory = cpu ? 0 : deviceMemory();
  return memoryLimit ?? (gpuMemory > 0 ? gpuMemory : Math.floor(machineMemory() * 0.8));
}

/** Shares what weights of so many bytes leave of `limit`: most for sequences, the rest for intermediate results. Throws `StartupError`. */
export function planMemory(limit: number, { bytes }: { bytes: number }): MemoryPlan {
  const free = limit - bytes;
  if (free <= 0) {
    const gigabytes = (n: number) => `${(n / 1e9).toFixed(2)} GB`;
    throw new StartupError(
      `the model's weights take ${gigabytes(bytes)}, more than the memory limit of ${gigabytes(limit)}: choose a smaller model or raise --memory-limit`,
    );
  }
  return { kvBytes: Math.floor(free * 0.8), cacheBytes: Math.floor(Math.min(free * 0.1, 2 ** 29)) };
}

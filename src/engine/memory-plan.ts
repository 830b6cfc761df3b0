import { StartupError } from "../errors.ts";
import type { LoadedModel } from "../models/load.ts";

export interface MemoryPlan {
  /** For the cache tensors of all sequences together. */
  kvBytes: number;
  /** What MLX may keep of freed buffers. */
  cacheBytes: number;
}

/** Shares what the weights leave of `limit` bytes: most for sequences, the rest for intermediate results. Throws `StartupError`. */
export function planMemory(limit: number, { bytes }: Pick<LoadedModel, "bytes">): MemoryPlan {
  const free = limit - bytes;
  if (free <= 0) {
    const gigabytes = (n: number) => `${(n / 1e9).toFixed(2)} GB`;
    throw new StartupError(
      `the model's weights take ${gigabytes(bytes)}, more than the memory limit of ${gigabytes(limit)}: choose a smaller model or raise --memory-limit`,
    );
  }
  return { kvBytes: Math.floor(free * 0.8), cacheBytes: Math.floor(Math.min(free * 0.1, 2 ** 29)) };
}

import type { AdapterSource } from "../models/adapter.ts";
import type { Pooling } from "../models/embedding-modules.ts";
import type { LoadProgress } from "../models/parameter-list.ts";

export interface ServerOptions {
  /** Rows that decode together, 64 by default. */
  maxBatchSize?: number;
  /** Tokens that one step computes at most, prefill and decode together. */
  maxTokensPerStep?: number;
  /** Requests that may wait, 1024 by default. */
  maxQueue?: number;
  /** Bytes for weights, caches and work together. */
  memoryLimit?: number;
  /** What the API calls the model; by default its path. */
  modelId?: string;
  /** Bytes of computed prefixes that are kept for later requests, as far as running ones leave them; half of the cache memory by default, 0: none. */
  prefixCacheMemory?: number;
  /** Leaves out the sampling defaults of generation_config.json. */
  ignoreGenerationConfig?: boolean;
  /** How embeddings are made of hidden states, instead of what the model's files say. */
  pooling?: Pooling | null;
  /** Directory where computed prefixes are kept longer than in memory, and the most bytes there (20 GB by default). */
  prefixCacheDirectory?: string;
  prefixCacheDisk?: number;
  /** LoRA adapters, directories of mlx-lm's or PEFT's, that requests choose by name. */
  adapters?: readonly AdapterSource[];
  /** Quantizes a dense model to so many bits while it is loaded. */
  quantize?: 4 | 8 | null;
  /** Told while the weights are read. */
  onProgress?: LoadProgress;
  /** Computes on the CPU even where there is a GPU. */
  cpu?: boolean;
  /** Capacity in tokens of the smallest cache row; for tests. */
  smallestSizeClass?: number;
  log?: (line: { level: "debug" | "info" | "warn" | "error"; message: string; [key: string]: unknown }) => void;
}

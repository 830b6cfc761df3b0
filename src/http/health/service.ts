import type { InferenceServer } from "../../engine/request.ts";
import type { Health } from "./model.ts";

export function readHealth(server: InferenceServer): Health {
  const stats = server.stats();
  return {
    status: server.status,
    queue_size: stats.queueSize,
    processing: stats.activeRequests > 0,
    active_requests: stats.activeRequests,
    stats: {
      total_requests: stats.totalRequests,
      total_tokens: stats.totalTokens,
      generation_tps: stats.generationTps.toFixed(1),
      peak_memory_gb: (stats.peakMemoryBytes / 1e9).toFixed(2),
      peak_memory_bytes: stats.peakMemoryBytes,
      active_memory_bytes: stats.activeMemoryBytes,
      cache_memory_bytes: stats.cacheMemoryBytes,
      kv_bytes: stats.kvBytes,
      prefix_cache_bytes: stats.prefixCacheBytes,
      prefix_cache_hit_rate: Number(stats.prefixCacheHitRate.toFixed(4)),
    },
    ...(server.status === "failed" && { error: server.failure ?? "The engine has failed." }),
  };
}

import * as v from "valibot";
import { count } from "../fields.ts";

export const Health = v.object({
  status: v.pipe(v.picklist(["ok", "loading", "stopping", "failed"]), v.description("Anything but `ok` comes with status 503.")),
  queue_size: v.pipe(count, v.description("Requests that wait for a place in the batch.")),
  processing: v.pipe(v.boolean(), v.description("Whether anything is in the batch.")),
  active_requests: v.pipe(count, v.description("Requests in the batch.")),
  stats: v.object({
    total_requests: count,
    total_tokens: v.pipe(count, v.description("Tokens generated since the start.")),
    generation_tps: v.pipe(v.string(), v.description("Generated tokens per second, of late.")),
    peak_memory_gb: v.string(),
    peak_memory_bytes: count,
    active_memory_bytes: count,
    cache_memory_bytes: count,
    kv_bytes: count,
    prefix_cache_bytes: v.pipe(count, v.description("Computed prefixes kept in memory, a part of `active_memory_bytes`.")),
    prefix_cache_hit_rate: v.pipe(
      v.number(),
      v.minValue(0),
      v.maxValue(1),
      v.description("Share of all prompt tokens so far that were not computed but taken from there."),
    ),
  }),
  error: v.optional(v.pipe(v.string(), v.description("Why the server does not work."))),
});
export type Health = v.InferOutput<typeof Health>;

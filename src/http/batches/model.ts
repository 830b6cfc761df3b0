import * as v from "valibot";
import { count, textQuery, wholeQuery } from "../fields.ts";

/** Routes whose requests a batch may have. */
export const batchEndpoints = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"] as const;

const time = v.nullable(count);

export const BatchObject = v.object({
  id: v.string(),
  object: v.literal("batch"),
  endpoint: v.string(),
  errors: v.nullable(
    v.object({
      object: v.literal("list"),
      data: v.array(v.object({ code: v.string(), message: v.string(), param: v.nullable(v.string()), line: v.nullable(count) })),
    }),
  ),
  input_file_id: v.string(),
  completion_window: v.string(),
  status: v.picklist(["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]),
  output_file_id: v.nullable(v.string()),
  error_file_id: v.nullable(v.string()),
  created_at: count,
  in_progress_at: time,
  expires_at: time,
  finalizing_at: time,
  completed_at: time,
  failed_at: time,
  expired_at: time,
  cancelling_at: time,
  cancelled_at: time,
  request_counts: v.object({ total: count, completed: count, failed: count }),
  metadata: v.nullable(v.record(v.string(), v.string())),
});
export type BatchObject = v.InferOutput<typeof BatchObject>;

export const BatchList = v.object({
  object: v.literal("list"),
  data: v.array(BatchObject),
  first_id: v.nullable(v.string()),
  last_id: v.nullable(v.string()),
  has_more: v.boolean(),
});

export const BatchRequest = v.object({
  input_file_id: v.pipe(v.string(), v.description("A file of JSON lines, each with `custom_id`, `method`, `url` and `body`.")),
  endpoint: v.pipe(v.picklist(batchEndpoints), v.description("The route of all requests.")),
  completion_window: v.pipe(v.literal("24h"), v.description("What is not done by then is answered with an error.")),
  metadata: v.nullish(
    v.pipe(
      v.record(v.pipe(v.string(), v.maxLength(64)), v.pipe(v.string(), v.maxLength(512))),
      v.maxEntries(16, "at most 16 entries are kept."),
      v.description("Kept with the batch."),
    ),
  ),
});
export type BatchRequest = v.InferOutput<typeof BatchRequest>;

export const BatchQuery = v.object({
  limit: wholeQuery(1, 100, "The most batches to list. Default: 20."),
  after: textQuery("Only batches that come after the one with this id."),
});

export const BatchParams = v.object({ id: v.pipe(v.string(), v.description("The batch's id.")) });

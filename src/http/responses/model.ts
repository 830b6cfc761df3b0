import * as v from "valibot";
import { count, textQuery, wholeQuery } from "../fields.ts";
import { Compaction, Item, OutputItem } from "./items.ts";
import { reasoningEfforts, TextFormat, ToolChoice } from "./request-model.ts";

const nullableText = v.nullable(v.string());

export const ResponseUsage = v.object({
  input_tokens: count,
  input_tokens_details: v.object({
    cached_tokens: v.pipe(count, v.description("Of the input, what was taken from the prefix cache.")),
    cache_write_tokens: v.pipe(count, v.description("Always 0: nothing is written at a client's request.")),
  }),
  output_tokens: count,
  output_tokens_details: v.object({ reasoning_tokens: count }),
  total_tokens: count,
});
export type ResponseUsage = v.InferOutput<typeof ResponseUsage>;

const Tool = v.object({
  type: v.literal("function"),
  name: v.string(),
  description: nullableText,
  parameters: v.nullable(v.record(v.string(), v.unknown())),
  strict: v.boolean(),
});

export const Response = v.pipe(
  v.object({
    id: v.string(),
    object: v.literal("response"),
    created_at: count,
    completed_at: v.nullable(count),
    status: v.picklist(["in_progress", "completed", "incomplete", "failed"]),
    background: v.literal(false),
    error: v.nullable(v.object({ code: v.picklist(["server_error", "rate_limit_exceeded"]), message: v.string() })),
    incomplete_details: v.nullable(v.object({ reason: v.literal("max_output_tokens") })),
    output: v.array(OutputItem),
    usage: v.pipe(v.nullable(ResponseUsage), v.description("Null while the response is in progress.")),
    model: v.string(),
    instructions: nullableText,
    previous_response_id: nullableText,
    tools: v.array(Tool),
    tool_choice: ToolChoice,
    parallel_tool_calls: v.boolean(),
    max_output_tokens: v.nullable(count),
    max_tool_calls: v.nullable(count),
    temperature: v.number(),
    top_p: v.number(),
    presence_penalty: v.number(),
    frequency_penalty: v.number(),
    top_logprobs: count,
    reasoning: v.object({
      effort: v.nullable(v.picklist(reasoningEfforts)),
      summary: v.nullable(v.picklist(["auto", "concise", "detailed"])),
    }),
    text: v.object({ format: TextFormat, verbosity: v.optional(v.picklist(["low", "medium", "high"])) }),
    truncation: v.picklist(["auto", "disabled"]),
    store: v.boolean(),
    metadata: v.record(v.string(), v.string()),
    safety_identifier: nullableText,
    prompt_cache_key: nullableText,
    service_tier: v.literal("default"),
    user: v.optional(v.string()),
  }),
  v.description("An answer with the parameters that it was made with."),
);
export type Response = v.InferOutput<typeof Response>;

export const DeletedResponse = v.object({ id: v.string(), object: v.literal("response"), deleted: v.literal(true) });

export const ItemList = v.object({
  object: v.literal("list"),
  data: v.array(Item),
  first_id: nullableText,
  last_id: nullableText,
  has_more: v.boolean(),
});
export type ItemList = v.InferOutput<typeof ItemList>;

export const InputTokens = v.object({ object: v.literal("response.input_tokens"), input_tokens: count });

export const CompactedResponse = v.object({
  id: v.string(),
  object: v.literal("response.compaction"),
  created_at: count,
  output: v.array(Compaction),
  usage: ResponseUsage,
});
export type CompactedResponse = v.InferOutput<typeof CompactedResponse>;

export const ResponseParams = v.object({ id: v.pipe(v.string(), v.description("The response's id.")) });

export const RetrieveQuery = v.object({
  stream: v.optional(
    v.pipe(
      v.literal("false", "a stored response is not streamed again."),
      v.description("Only false: it is not streamed again."),
    ),
  ),
});

export const ItemQuery = v.object({
  limit: wholeQuery(1, 100, "The most items to list. Default: 20."),
  order: v.optional(v.pipe(v.picklist(["asc", "desc"]), v.description("Default: `desc`, the newest first."))),
  after: textQuery("Only items that come after the one with this id."),
});
export type ItemQuery = v.InferOutput<typeof ItemQuery>;

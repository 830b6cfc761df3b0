/** What Anthropic's clients are answered. */
import * as v from "valibot";
import { count } from "../fields.ts";

const text = v.object({ type: v.literal("text"), text: v.string() });
const thinking = v.object({
  type: v.literal("thinking"),
  thinking: v.string(),
  signature: v.pipe(v.string(), v.description("To be sent back with the block.")),
});
const toolUse = v.object({
  type: v.literal("tool_use"),
  id: v.string(),
  name: v.string(),
  input: v.record(v.string(), v.unknown()),
});

export const ContentBlock = v.variant("type", [text, thinking, toolUse]);
export type ContentBlock = v.InferOutput<typeof ContentBlock>;

const stop = {
  stop_reason: v.picklist(["end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"]),
  stop_sequence: v.pipe(v.nullable(v.string()), v.description("The stop sequence that was found.")),
};
export type Stop = { [Key in keyof typeof stop]: v.InferOutput<(typeof stop)[Key]> };

export const MessageUsage = v.pipe(
  v.object({
    input_tokens: v.pipe(count, v.description("Without those that were taken from the prefix cache.")),
    cache_creation_input_tokens: count,
    cache_read_input_tokens: count,
    output_tokens: count,
    output_tokens_details: v.object({ thinking_tokens: count }),
    service_tier: v.literal("standard"),
  }),
  v.description("Token counts of a request."),
);
export type MessageUsage = v.InferOutput<typeof MessageUsage>;

const head = { id: v.string(), type: v.literal("message"), role: v.literal("assistant"), model: v.string() };

export const AnswerMessage = v.object({ ...head, content: v.array(ContentBlock), ...stop, usage: MessageUsage });
export type AnswerMessage = v.InferOutput<typeof AnswerMessage>;

const place = { index: count };

const Delta = v.variant("type", [
  v.object({ type: v.literal("text_delta"), text: v.string() }),
  v.object({ type: v.literal("thinking_delta"), thinking: v.string() }),
  v.object({ type: v.literal("signature_delta"), signature: v.string() }),
  v.object({ type: v.literal("input_json_delta"), partial_json: v.string() }),
]);

const errorEntries = {
  type: v.literal("error"),
  error: v.object({ type: v.string(), message: v.string() }),
  request_id: v.nullable(v.string()),
};

export const AnthropicError = v.pipe(v.object(errorEntries), v.description("What a failed request is answered with."));
export type AnthropicError = v.InferOutput<typeof AnthropicError>;

export const MessageStreamEvent = v.pipe(
  v.variant("type", [
    v.object({
      type: v.literal("message_start"),
      message: v.object({
        ...head,
        content: v.array(ContentBlock),
        stop_reason: v.null(),
        stop_sequence: v.null(),
        usage: MessageUsage,
      }),
    }),
    v.object({ type: v.literal("content_block_start"), ...place, content_block: ContentBlock }),
    v.object({ type: v.literal("content_block_delta"), ...place, delta: Delta }),
    v.object({ type: v.literal("content_block_stop"), ...place }),
    v.object({ type: v.literal("message_delta"), delta: v.object(stop), usage: MessageUsage }),
    v.object({ type: v.literal("message_stop") }),
    v.object({ type: v.literal("ping") }),
    v.object(errorEntries),
  ]),
  v.description("The data of one server-sent event; `event:` has its type as well. Counts in `message_delta` are of all so far."),
);
export type MessageStreamEvent = v.InferOutput<typeof MessageStreamEvent>;

export const TokenCount = v.object({ input_tokens: count });
export type TokenCount = v.InferOutput<typeof TokenCount>;

import * as v from "valibot";
import { count, FinishReason, flag, maxTokens, model, samplingEntries, text, Usage, whole } from "../fields.ts";

const ContentPart = v.pipe(
  v.looseObject({ type: v.string(), text: v.optional(v.string()) }),
  v.description("A part of a message. Only `text` parts are supported."),
);

export const Message = v.pipe(
  v.looseObject({
    role: v.picklist(["system", "developer", "user", "assistant", "tool", "function"]),
    content: v.nullish(v.union([v.string(), v.array(ContentPart)])),
    name: v.nullish(v.string()),
    tool_calls: v.nullish(v.array(v.looseObject({}))),
    tool_call_id: v.nullish(v.string()),
  }),
  v.description("One turn of the conversation."),
);
export type Message = v.InferOutput<typeof Message>;

const Tool = v.looseObject({ type: v.literal("function"), function: v.looseObject({ name: v.string() }) });

export const ChatCompletionRequest = v.pipe(
  v.object({
    messages: v.pipe(
      v.array(Message),
      v.minLength(1, "at least one message is needed."),
      v.description("The conversation so far."),
    ),
    model,
    max_tokens: maxTokens,
    max_completion_tokens: whole(0, Number.MAX_SAFE_INTEGER, "The most tokens to generate; wins over `max_tokens`."),
    ...samplingEntries,
    logprobs: flag("Return the log-probability of each output token."),
    top_logprobs: whole(0, 20, "How many of the most likely tokens to list at each position. Needs `logprobs`."),
    tools: v.nullish(
      v.pipe(v.array(Tool), v.maxLength(128), v.description("Functions that the chat template shows to the model.")),
    ),
    tool_choice: v.nullish(
      v.pipe(
        v.union([v.picklist(["none", "auto", "required"]), v.looseObject({ type: v.string() })]),
        v.description("`auto`, or `none` to hide the tools. `required` and a named tool are not supported yet."),
      ),
    ),
    response_format: v.nullish(v.pipe(v.looseObject({ type: v.string() }), v.description("Only `text` is supported."))),
    chat_template_kwargs: v.nullish(
      v.pipe(v.record(v.string(), v.unknown()), v.description("Extra variables for the chat template.")),
    ),
    reasoning_effort: text("Passed to the chat template."),
    metadata: v.nullish(v.pipe(v.record(v.string(), v.unknown()), v.description("Accepted and not used."))),
    service_tier: text("Accepted and not used."),
    store: flag("Accepted and not used."),
    parallel_tool_calls: flag("Accepted and not used."),
  }),
  v.description("Unknown fields are ignored; null is the same as leaving a field out."),
);
export type ChatCompletionRequest = v.InferOutput<typeof ChatCompletionRequest>;

const tokenLogprob = { token: v.string(), logprob: v.number(), bytes: v.nullable(v.array(count)) };

export const ChatLogprobs = v.object({
  content: v.nullable(v.array(v.object({ ...tokenLogprob, top_logprobs: v.array(v.object(tokenLogprob)) }))),
  refusal: v.null(),
});
export type ChatLogprobs = v.InferOutput<typeof ChatLogprobs>;

export const ChatCompletion = v.object({
  id: v.string(),
  object: v.literal("chat.completion"),
  created: count,
  model: v.string(),
  system_fingerprint: v.string(),
  choices: v.array(
    v.object({
      index: count,
      message: v.object({ role: v.literal("assistant"), content: v.string(), refusal: v.null() }),
      logprobs: v.nullable(ChatLogprobs),
      finish_reason: FinishReason,
    }),
  ),
  usage: Usage,
});
export type ChatCompletion = v.InferOutput<typeof ChatCompletion>;

export const ChatCompletionChunk = v.pipe(
  v.object({
    id: v.string(),
    object: v.literal("chat.completion.chunk"),
    created: count,
    model: v.string(),
    system_fingerprint: v.string(),
    choices: v.array(
      v.object({
        index: count,
        delta: v.object({
          role: v.optional(v.literal("assistant")),
          content: v.optional(v.string()),
          refusal: v.optional(v.null()),
        }),
        logprobs: v.nullable(ChatLogprobs),
        finish_reason: v.nullable(FinishReason),
      }),
    ),
    usage: v.optional(v.nullable(Usage)),
  }),
  v.description("The data of one server-sent event; `[DONE]` comes after the last."),
);

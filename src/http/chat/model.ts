import * as v from "valibot";
import { count, flag, maxTokens, model, samplingEntries, text, Usage, whole } from "../fields.ts";
import { acceptedFields, completionsOnly, unsupportedChat, unsupportedSampling } from "../openai-fields.ts";
import { structuredOutputEntries } from "../structured-output.ts";
import { Timings } from "../timings.ts";

const ContentPart = v.pipe(
  v.looseObject({ type: v.string(), text: v.optional(v.string()), refusal: v.optional(v.string()) }),
  v.description("A part of a message. Only `text` parts are supported, and `refusal` in an assistant's turn."),
);

export const Message = v.pipe(
  v.looseObject({
    role: v.picklist(["system", "developer", "user", "assistant", "tool", "function"]),
    content: v.nullish(v.union([v.string(), v.array(ContentPart)])),
    name: v.nullish(v.string()),
    tool_calls: v.nullish(v.array(v.looseObject({}))),
    tool_call_id: v.nullish(v.string()),
    function_call: v.nullish(
      v.pipe(v.looseObject({ name: v.string(), arguments: v.string() }), v.description("The older form of one of `tool_calls`.")),
    ),
    refusal: text("Of an assistant's turn: stands for the content where there is none."),
    reasoning_content: text("Of an assistant's turn; chat templates say which of it the model sees again."),
    reasoning: text("The same under another name."),
  }),
  v.description("One turn of the conversation."),
);
export type Message = v.InferOutput<typeof Message>;

export const Tool = v.looseObject({
  type: v.literal("function"),
  function: v.looseObject({
    name: v.pipe(v.string(), v.minLength(1)),
    description: v.nullish(v.string()),
    parameters: v.nullish(v.pipe(v.record(v.string(), v.unknown()), v.description("JSON Schema of the arguments."))),
    strict: flag("Hold the arguments to the schema."),
  }),
});
export type Tool = v.InferOutput<typeof Tool>;

const NamedTool = v.looseObject({
  type: v.literal("function"),
  function: v.looseObject({ name: v.pipe(v.string(), v.minLength(1)) }),
});

const AllowedTools = v.looseObject({
  type: v.literal("allowed_tools"),
  allowed_tools: v.looseObject({ mode: v.picklist(["auto", "required"]), tools: v.pipe(v.array(NamedTool), v.minLength(1)) }),
});

const toolChoiceHint = "expected 'none', 'auto', 'required' or {type: 'function', function: {name}}.";

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
    ...unsupportedSampling,
    ...samplingEntries,
    logprobs: flag("Return the log-probability of each output token."),
    top_logprobs: whole(0, 20, "How many of the most likely tokens to list at each position. Needs `logprobs`."),
    tools: v.nullish(v.pipe(v.array(Tool), v.maxLength(128), v.description("Functions that the model may call."))),
    tool_choice: v.nullish(
      v.pipe(
        v.union([v.picklist(["none", "auto", "required"]), v.variant("type", [NamedTool, AllowedTools])], toolChoiceHint),
        v.description(
          "`auto`, `none` to hide the tools, `required` for at least one call, the tool to call, or those of the tools that may be called.",
        ),
      ),
    ),
    ...structuredOutputEntries,
    chat_template_kwargs: v.nullish(
      v.pipe(v.record(v.string(), v.unknown()), v.description("Extra variables for the chat template.")),
    ),
    reasoning_effort: text("Passed to the chat template. `none` switches reasoning off where the template can."),
    enable_thinking: flag("Passed to the chat template: false switches reasoning off where the template can."),
    reasoning: v.nullish(
      v.pipe(
        v.object({
          effort: text("As `reasoning_effort`."),
          enabled: flag("As `enable_thinking`."),
          exclude: flag("Leave the reasoning out of the answer."),
          max_tokens: whole(0, Number.MAX_SAFE_INTEGER, "As `thinking_budget`."),
        }),
        v.description("The same options together."),
      ),
    ),
    thinking_budget: whole(0, Number.MAX_SAFE_INTEGER, "The most tokens of reasoning; then its end is written for the model."),
    include_reasoning: flag("False leaves the reasoning out of the answer. Default: true."),
    verbosity: text("Passed to the chat template."),
    ...acceptedFields,
    ...unsupportedChat,
    ...completionsOnly,
    parallel_tool_calls: flag("False: at most one call. Default: true."),
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

const ToolCall = v.object({
  id: v.string(),
  type: v.literal("function"),
  function: v.object({ name: v.string(), arguments: v.pipe(v.string(), v.description("JSON text of an object.")) }),
});

/** Id, type and name come in a call's first delta, its arguments in fragments after that. */
const ToolCallDelta = v.object({
  index: count,
  id: v.optional(v.string()),
  type: v.optional(v.literal("function")),
  function: v.object({ name: v.optional(v.string()), arguments: v.string() }),
});

const ChatFinishReason = v.picklist(["stop", "length", "tool_calls"]);

const reasoningEntries = {
  reasoning_content: v.optional(v.pipe(v.string(), v.description("What the model thought before it answered."))),
  reasoning: v.optional(v.pipe(v.string(), v.description("The same under another name."))),
};

export const ChatCompletion = v.object({
  id: v.string(),
  object: v.literal("chat.completion"),
  created: count,
  model: v.string(),
  system_fingerprint: v.string(),
  choices: v.array(
    v.object({
      index: count,
      message: v.object({
        role: v.literal("assistant"),
        content: v.pipe(v.nullable(v.string()), v.description("Null where there are only calls.")),
        refusal: v.null(),
        ...reasoningEntries,
        tool_calls: v.optional(v.array(ToolCall)),
      }),
      logprobs: v.nullable(ChatLogprobs),
      finish_reason: ChatFinishReason,
    }),
  ),
  usage: Usage,
  timings: Timings,
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
          ...reasoningEntries,
          tool_calls: v.optional(v.array(ToolCallDelta)),
        }),
        logprobs: v.nullable(ChatLogprobs),
        finish_reason: v.nullable(ChatFinishReason),
      }),
    ),
    usage: v.optional(v.nullable(Usage)),
    timings: v.optional(v.pipe(Timings, v.description("With the token counts."))),
  }),
  v.description("The data of one server-sent event; `[DONE]` comes after the last."),
);

import * as v from "valibot";
import { flag, model, samplingEntries, text, whole } from "../fields.ts";
import { never, unsupportedSampling } from "../openai-fields.ts";
import { Input } from "./input-model.ts";

const name = v.pipe(v.string(), v.minLength(1), v.maxLength(128));
const schema = v.record(v.string(), v.unknown());
const onlyFunctions = "this server runs no tools itself: only those of the type 'function' are taken.";

export const FunctionTool = v.object({
  type: v.literal("function"),
  name,
  description: v.nullish(v.string()),
  parameters: v.nullish(v.pipe(schema, v.description("JSON Schema of the arguments."))),
  strict: flag("Hold the arguments to the schema. Default: false."),
});
export type FunctionTool = v.InferOutput<typeof FunctionTool>;

const NamedTool = v.object({ type: v.literal("function"), name });

export const ToolChoice = v.union([
  v.picklist(["none", "auto", "required"]),
  v.variant(
    "type",
    [
      NamedTool,
      v.object({
        type: v.literal("allowed_tools"),
        mode: v.optional(v.picklist(["auto", "required"]), "auto"),
        tools: v.pipe(v.array(v.variant("type", [NamedTool], onlyFunctions)), v.minLength(1), v.maxLength(128)),
      }),
    ],
    onlyFunctions,
  ),
]);
export type ToolChoice = v.InferOutput<typeof ToolChoice>;

export const TextFormat = v.variant("type", [
  v.object({ type: v.literal("text") }),
  v.object({ type: v.literal("json_object") }),
  v.object({
    type: v.literal("json_schema"),
    name,
    description: v.nullish(v.string()),
    schema: v.pipe(schema, v.description("What the answer has to satisfy.")),
    strict: flag("The answer satisfies the schema in any case."),
  }),
]);
export type TextFormat = v.InferOutput<typeof TextFormat>;

export const reasoningEfforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"] as const;

const { n: _, stream_options: __, ...sampling } = samplingEntries;

/** Names of chat completions for what goes by others here. */
const moved = {
  messages: never("use `input`."),
  max_tokens: never("use `max_output_tokens`."),
  max_completion_tokens: never("use `max_output_tokens`."),
  response_format: never("use `text.format`."),
  reasoning_effort: never("use `reasoning.effort`."),
  n: whole(1, 1, "Only 1: a response is one answer."),
};

/** What the prompt is made of. */
const promptEntries = {
  model,
  input: v.nullish(Input),
  previous_response_id: text(
    "A stored response that this one goes on from: its input and output come first, its instructions do not.",
  ),
  instructions: text("What the model is told before everything else."),
  tools: v.nullish(
    v.pipe(
      v.array(v.variant("type", [FunctionTool], onlyFunctions)),
      v.maxLength(128),
      v.description("Functions that the model may call."),
    ),
  ),
  tool_choice: v.nullish(
    v.pipe(
      ToolChoice,
      v.description(
        "`auto`, `none` to hide the tools, `required` for at least one call, the tool to call, or those that may be called.",
      ),
    ),
  ),
  parallel_tool_calls: flag("False: at most one call. Default: true."),
  reasoning: v.nullish(
    v.pipe(
      v.object({
        effort: v.nullish(
          v.pipe(v.picklist(reasoningEfforts), v.description("Passed to the chat template. `none` switches reasoning off.")),
        ),
        summary: v.nullish(
          v.pipe(
            v.picklist(["auto", "concise", "detailed"]),
            v.description("Give the reasoning as the item's `summary`, word for word, instead of as its `content`."),
          ),
        ),
      }),
      v.description("How much is thought, and how it is shown."),
    ),
  ),
  text: v.nullish(
    v.pipe(
      v.object({
        format: v.nullish(v.pipe(TextFormat, v.description("What the answer looks like."))),
        verbosity: v.nullish(v.pipe(v.picklist(["low", "medium", "high"]), v.description("Passed to the chat template."))),
      }),
      v.description("What the answer's text has to be."),
    ),
  ),
  truncation: v.nullish(
    v.pipe(
      v.picklist(["auto", "disabled"]),
      v.description("`auto`: the oldest turns are left out where the conversation is too long. Default: it is refused."),
    ),
  ),
  chat_template_kwargs: v.nullish(
    v.pipe(v.record(v.string(), v.unknown()), v.description("Extra variables for the chat template.")),
  ),
  enable_thinking: flag("Passed to the chat template: false switches reasoning off where the template can."),
  conversation: never("use `previous_response_id`."),
  prompt: never("this server stores no prompts."),
};

export const InputTokensRequest = v.pipe(
  v.object(promptEntries),
  v.description("As for a response; what says nothing of the prompt is ignored."),
);
export type InputTokensRequest = v.InferOutput<typeof InputTokensRequest>;

export const ResponseRequest = v.pipe(
  v.object({
    ...promptEntries,
    ...sampling,
    ...unsupportedSampling,
    ...moved,
    max_output_tokens: whole(
      1,
      Number.MAX_SAFE_INTEGER,
      "The most tokens to generate, reasoning included. Default: the rest of the context.",
    ),
    max_tool_calls: whole(1, Number.MAX_SAFE_INTEGER, "Accepted and not used: it counts calls of tools that the server runs."),
    top_logprobs: whole(0, 20, "How many of the most likely tokens to list at each position."),
    include: v.nullish(
      v.pipe(
        v.array(
          v.picklist([
            "message.output_text.logprobs",
            "reasoning.encrypted_content",
            "file_search_call.results",
            "web_search_call.results",
            "web_search_call.action.sources",
            "message.input_image.image_url",
            "computer_call_output.output.image_url",
            "code_interpreter_call.outputs",
          ]),
        ),
        v.description("What else the answer has. The last six belong to tools and inputs that there are not."),
      ),
    ),
    stream_options: v.nullish(
      v.pipe(
        v.object({ include_obfuscation: flag("Accepted and not used: events are not padded.") }),
        v.description("Only with `stream`."),
      ),
    ),
    thinking_budget: whole(0, Number.MAX_SAFE_INTEGER, "The most tokens of reasoning; then its end is written for the model."),
    store: flag("Keep the response, in memory, for `previous_response_id` and retrieval. Default: true."),
    background: v.nullish(
      v.pipe(
        v.literal(false, "responses do not run in the background here."),
        v.description("Not supported: only false, which changes nothing."),
      ),
    ),
    metadata: v.nullish(
      v.pipe(
        v.record(v.pipe(v.string(), v.maxLength(64)), v.pipe(v.string(), v.maxLength(512))),
        v.maxEntries(16, "at most 16 entries are kept."),
        v.description("Kept with the response."),
      ),
    ),
    safety_identifier: v.nullish(v.pipe(v.string(), v.maxLength(64), v.description("Accepted and not used."))),
    prompt_cache_key: text("Accepted and not used: computed prefixes are found by what is in them."),
    service_tier: text("Accepted and not used."),
    context_management: never("use `truncation` or `/v1/responses/compact`."),
    moderation: never("this server does not moderate."),
  }),
  v.description("Unknown fields are ignored; null is the same as leaving a field out."),
);
export type ResponseRequest = v.InferOutput<typeof ResponseRequest>;

export const CompactRequest = v.object({
  model: v.pipe(v.string(), v.description("As for a response; it must be given.")),
  input: v.nullish(Input),
  previous_response_id: promptEntries.previous_response_id,
  instructions: promptEntries.instructions,
  prompt_cache_key: text("Accepted and not used."),
  service_tier: text("Accepted and not used."),
});
export type CompactRequest = v.InferOutput<typeof CompactRequest>;

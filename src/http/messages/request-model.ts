/** What Anthropic's clients send. Fields that are not named here, such as `cache_control`, are ignored. */
import * as v from "valibot";
import { flag, model, text, whole } from "../fields.ts";

/** A message for a block of a type that there is not, or not in this place. */
function refuseBlock({ received }: v.BaseIssue<unknown>): string {
  if (received === '"image"') return "images are not supported: the served model takes text only.";
  return `blocks of type ${received.slice(0, 60)} are not supported here.`;
}

const TextBlock = v.object({ type: v.literal("text"), text: v.string() });

const SearchResultBlock = v.object({
  type: v.literal("search_result"),
  source: v.string(),
  title: v.string(),
  content: v.array(TextBlock),
});

const PlainText = v.object({ type: v.literal("text"), data: v.string() });

const DocumentBlock = v.object({
  type: v.literal("document"),
  source: v.variant("type", [PlainText], ({ received }) => `documents of type ${received} are not supported: only 'text' is.`),
  title: text("Put before the text."),
  context: text("Put before the text."),
});

const ToolReferenceBlock = v.object({ type: v.literal("tool_reference"), tool_name: v.string() });

const resultBlocks = [TextBlock, SearchResultBlock, DocumentBlock, ToolReferenceBlock] as const;

const ToolResultBlock = v.object({
  type: v.literal("tool_result"),
  tool_use_id: v.string(),
  content: v.nullish(v.union([v.string(), v.array(v.variant("type", resultBlocks, refuseBlock))])),
  is_error: flag("The tool has failed; `Error: ` is put before the content."),
});

const ToolUseBlock = v.object({
  type: v.literal("tool_use"),
  id: v.string(),
  name: v.string(),
  input: v.record(v.string(), v.unknown()),
});

const ThinkingBlock = v.object({
  type: v.literal("thinking"),
  thinking: v.string(),
  signature: text("As it was answered."),
});

const RedactedThinkingBlock = v.object({
  type: v.literal("redacted_thinking"),
  data: v.pipe(v.string(), v.description("Nothing can be read from it; left out.")),
});

const userBlocks = [TextBlock, ToolResultBlock, SearchResultBlock, DocumentBlock] as const;
const assistantBlocks = [TextBlock, ToolUseBlock, ThinkingBlock, RedactedThinkingBlock] as const;
const userContent = v.union([v.string(), v.array(v.variant("type", userBlocks, refuseBlock))]);
const assistantContent = v.union([v.string(), v.array(v.variant("type", assistantBlocks, refuseBlock))]);
const systemContent = v.union([v.string(), v.array(v.variant("type", [TextBlock], refuseBlock))]);

export const InputMessage = v.pipe(
  v.variant("role", [
    v.object({ role: v.literal("user"), content: userContent }),
    v.object({ role: v.literal("assistant"), content: assistantContent }),
    v.object({ role: v.literal("system"), content: systemContent }),
  ]),
  v.description(
    "One turn. Neighbours of one role are one turn; a last one of the assistant's is continued. What the system says before the first answer joins `system`, what it says later the user's turns.",
  ),
);
export type InputMessage = v.InferOutput<typeof InputMessage>;
export type InputBlock = Exclude<InputMessage["content"], string>[number];
export type ResultContent = v.InferOutput<typeof ToolResultBlock>["content"];
export type SystemContent = v.InferOutput<typeof systemContent>;

const schema = v.pipe(v.record(v.string(), v.unknown()), v.description("JSON Schema."));

export const InputTool = v.object({
  type: v.nullish(
    v.literal("custom", ({ received }) => `tools of type ${received} are not supported: only those with an 'input_schema' are.`),
  ),
  name: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
  description: v.nullish(v.string()),
  input_schema: schema,
  strict: flag("Hold the arguments to the schema."),
});
export type InputTool = v.InferOutput<typeof InputTool>;

const parallel = { disable_parallel_tool_use: flag("At most one call.") };

const ToolChoice = v.variant("type", [
  v.object({ type: v.literal("auto"), ...parallel }),
  v.object({ type: v.literal("any"), ...parallel }),
  v.object({ type: v.literal("tool"), name: v.string(), ...parallel }),
  v.object({ type: v.literal("none") }),
]);

const display = v.nullish(v.pipe(v.picklist(["summarized", "omitted"]), v.description("`omitted` leaves the text out.")));

const Thinking = v.variant("type", [
  v.object({
    type: v.literal("enabled"),
    budget_tokens: v.pipe(
      v.number(),
      v.integer(),
      v.minValue(1),
      v.description("The most tokens of thinking; then its end is written for the model."),
    ),
    display,
  }),
  v.object({ type: v.literal("adaptive"), display }),
  v.object({ type: v.literal("between_tools") }),
  v.object({ type: v.literal("disabled") }),
]);

const OutputFormat = v.object({ type: v.literal("json_schema"), schema });

/** What a prompt is made of. */
const promptEntries = {
  model,
  messages: v.pipe(v.array(InputMessage), v.minLength(1, "at least one message is needed.")),
  system: v.nullish(v.pipe(systemContent, v.description("What the model is told before the conversation."))),
  tools: v.nullish(v.pipe(v.array(InputTool), v.maxLength(512), v.description("Functions that the model may call."))),
  tool_choice: v.nullish(v.pipe(ToolChoice, v.description("`any` and `tool` are enforced by a grammar."))),
  thinking: v.nullish(
    v.pipe(
      Thinking,
      v.description("Without it templates that can switch thinking off are told to, and no thinking is part of the answer."),
    ),
  ),
  output_config: v.nullish(
    v.pipe(
      v.object({
        effort: v.nullish(v.picklist(["low", "medium", "high", "xhigh", "max"])),
        format: v.nullish(OutputFormat),
      }),
      v.description("How much the model thinks, and what the answer looks like."),
    ),
  ),
  output_format: v.nullish(v.pipe(OutputFormat, v.description("An older place of `output_config.format`."))),
};

const stopSequence = v.pipe(v.string(), v.nonEmpty("a stop sequence must not be empty."));
const probability = v.pipe(v.number(), v.minValue(0), v.maxValue(1));

export const MessagesRequest = v.pipe(
  v.object({
    ...promptEntries,
    max_tokens: v.pipe(v.number(), v.integer(), v.minValue(0), v.description("The most tokens to generate. 0: none.")),
    stop_sequences: v.nullish(
      v.pipe(
        v.array(stopSequence),
        v.maxLength(64, "at most 64 stop sequences are taken."),
        v.description("Texts that end the answer and are not part of it."),
      ),
    ),
    temperature: v.nullish(v.pipe(probability, v.description("Randomness; 0 always takes the most likely token."))),
    top_p: v.nullish(v.pipe(probability, v.description("Nucleus sampling; 0 takes the most likely token."))),
    top_k: whole(0, Number.MAX_SAFE_INTEGER, "Only the k most likely tokens; 0 keeps all."),
    stream: flag("Send the answer as server-sent events while it is generated."),
    metadata: v.nullish(v.pipe(v.object({ user_id: v.nullish(v.string()) }), v.description("Accepted and not used."))),
    service_tier: text("Accepted and not used."),
    mcp_servers: v.nullish(
      v.pipe(
        v.array(v.unknown()),
        v.maxLength(0, "MCP servers are not supported: a client has to ask them."),
        v.description("Not supported: a client has to ask them."),
      ),
    ),
  }),
  v.description("Unknown fields are ignored; null is the same as leaving a field out."),
);
export type MessagesRequest = v.InferOutput<typeof MessagesRequest>;

export const CountTokensRequest = v.pipe(
  v.object(promptEntries),
  v.description("As for an answer; what makes no prompt is ignored."),
);
export type CountTokensRequest = v.InferOutput<typeof CountTokensRequest>;

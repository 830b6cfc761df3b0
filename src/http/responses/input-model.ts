/** Items as requests may give them: less strict than what is answered. */
import * as v from "valibot";
import { SummaryText } from "./items.ts";

const onlyText = "this model takes only text: parts of the type 'input_text', 'output_text' or 'refusal'.";

const TextPart = v.object({ type: v.picklist(["input_text", "output_text", "text"]), text: v.string() });
const RefusalPart = v.object({ type: v.literal("refusal"), refusal: v.string() });
const Parts = v.array(v.variant("type", [TextPart, RefusalPart], onlyText));
export type Parts = v.InferOutput<typeof Parts>;

const id = v.nullish(v.pipe(v.string(), v.minLength(1), v.maxLength(256)));
const status = v.nullish(v.picklist(["in_progress", "completed", "incomplete"]));
const callId = v.pipe(v.string(), v.minLength(1), v.maxLength(256));

const MessageInput = v.object({
  type: v.optional(v.literal("message")),
  id,
  status,
  role: v.picklist(["user", "assistant", "system", "developer"]),
  content: v.union([v.string(), Parts]),
  phase: v.nullish(v.picklist(["commentary", "final_answer"])),
});

const FunctionCallInput = v.object({
  type: v.literal("function_call"),
  id,
  status,
  call_id: callId,
  name: v.pipe(v.string(), v.minLength(1)),
  arguments: v.string(),
});

const FunctionCallOutputInput = v.object({
  type: v.literal("function_call_output"),
  id,
  status,
  call_id: callId,
  output: v.union([v.string(), Parts]),
});

const ReasoningInput = v.object({
  type: v.literal("reasoning"),
  id,
  status,
  summary: v.array(SummaryText),
  content: v.nullish(v.array(v.object({ type: v.picklist(["reasoning_text", "text"]), text: v.string() }))),
  encrypted_content: v.nullish(v.string()),
});

const ItemReference = v.object({
  type: v.literal("item_reference"),
  id: v.pipe(v.string(), v.minLength(1), v.description("Of an item of a stored response.")),
});

const CompactionInput = v.object({ type: v.literal("compaction"), id, encrypted_content: v.string() });

export const InputItem = v.variant("type", [
  MessageInput,
  FunctionCallInput,
  FunctionCallOutputInput,
  ReasoningInput,
  ItemReference,
  CompactionInput,
]);
export type InputItem = v.InferOutput<typeof InputItem>;

export const Input = v.pipe(
  v.union([v.string(), v.array(InputItem)]),
  v.description("A text of the user's, or the items of a conversation."),
);

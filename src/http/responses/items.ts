/** Items as they are answered with and stored: what a conversation consists of. */
import * as v from "valibot";
import { count } from "../fields.ts";

const status = v.picklist(["in_progress", "completed", "incomplete"]);

const tokenEntries = { token: v.string(), logprob: v.number(), bytes: v.array(count) };
const TokenLogprob = v.object({ ...tokenEntries, top_logprobs: v.array(v.object(tokenEntries)) });
export type TokenLogprob = v.InferOutput<typeof TokenLogprob>;

export const InputText = v.object({ type: v.literal("input_text"), text: v.string() });
export type InputText = v.InferOutput<typeof InputText>;

export const OutputText = v.object({
  type: v.literal("output_text"),
  text: v.string(),
  annotations: v.array(v.object({})),
  logprobs: v.pipe(v.array(TokenLogprob), v.description("With `message.output_text.logprobs` in `include`.")),
});
export type OutputText = v.InferOutput<typeof OutputText>;

export const Refusal = v.object({ type: v.literal("refusal"), refusal: v.string() });

export const ReasoningText = v.object({ type: v.literal("reasoning_text"), text: v.string() });
export type ReasoningText = v.InferOutput<typeof ReasoningText>;

export const SummaryText = v.object({ type: v.literal("summary_text"), text: v.string() });
export type SummaryText = v.InferOutput<typeof SummaryText>;

export const InputMessage = v.object({
  id: v.string(),
  type: v.literal("message"),
  status,
  role: v.picklist(["user", "system", "developer"]),
  content: v.array(InputText),
});
export type InputMessage = v.InferOutput<typeof InputMessage>;

export const OutputMessage = v.object({
  id: v.string(),
  type: v.literal("message"),
  status,
  role: v.literal("assistant"),
  content: v.array(v.variant("type", [OutputText, Refusal])),
  phase: v.optional(v.picklist(["commentary", "final_answer"])),
});
export type OutputMessage = v.InferOutput<typeof OutputMessage>;

export const FunctionCall = v.object({
  id: v.string(),
  type: v.literal("function_call"),
  status,
  call_id: v.pipe(v.string(), v.description("What the call's output refers to.")),
  name: v.string(),
  arguments: v.pipe(v.string(), v.description("JSON text of an object.")),
});
export type FunctionCall = v.InferOutput<typeof FunctionCall>;

export const FunctionCallOutput = v.object({
  id: v.string(),
  type: v.literal("function_call_output"),
  status,
  call_id: v.string(),
  output: v.union([v.string(), v.array(InputText)]),
});
export type FunctionCallOutput = v.InferOutput<typeof FunctionCallOutput>;

export const Reasoning = v.object({
  id: v.string(),
  type: v.literal("reasoning"),
  status,
  summary: v.pipe(v.array(SummaryText), v.description("Where `reasoning.summary` asks for one: the reasoning, word for word.")),
  content: v.optional(v.pipe(v.array(ReasoningText), v.description("What the model thought, where no summary was asked for."))),
  encrypted_content: v.optional(
    v.pipe(
      v.string(),
      v.description("The same for clients that give it back unread. With `reasoning.encrypted_content` in `include`."),
    ),
  ),
});
export type Reasoning = v.InferOutput<typeof Reasoning>;

export const Compaction = v.object({
  id: v.string(),
  type: v.literal("compaction"),
  encrypted_content: v.pipe(v.string(), v.description("A summary of what came before, to be given back unread.")),
});
export type Compaction = v.InferOutput<typeof Compaction>;

export const OutputItem = v.variant("type", [OutputMessage, FunctionCall, Reasoning]);
export type OutputItem = v.InferOutput<typeof OutputItem>;

/** Any part of a conversation. */
export const Item = v.variant("type", [InputMessage, OutputMessage, FunctionCall, FunctionCallOutput, Reasoning, Compaction]);
export type Item = v.InferOutput<typeof Item>;

const prefixes = {
  message: "msg_",
  function_call: "fc_",
  function_call_output: "fco_",
  reasoning: "rs_",
  compaction: "cmp_",
} satisfies Record<Item["type"], string>;

export function createItemId(type: Item["type"]): string {
  return prefixes[type] + crypto.randomUUID().replaceAll("-", "");
}

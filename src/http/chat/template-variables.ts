import { InvalidRequest } from "../../errors.ts";
import type { ChatCompletionRequest } from "./model.ts";

type ReasoningFields = Pick<
  ChatCompletionRequest,
  "chat_template_kwargs" | "reasoning_effort" | "enable_thinking" | "reasoning" | "thinking_budget" | "verbosity"
>;

/** Variables for the chat template: the client's own, and what it says of reasoning under the names that templates know. */
export function readTemplateVariables(body: ReasoningFields): Record<string, unknown> {
  const effort = body.reasoning_effort ?? body.reasoning?.effort ?? null;
  const isOff = effort === "none";
  const enabled = body.enable_thinking ?? body.reasoning?.enabled ?? (isOff ? false : null);
  return {
    ...(enabled !== null && { enable_thinking: enabled, thinking: enabled }),
    ...(effort !== null && !isOff && { reasoning_effort: effort }),
    ...(body.verbosity != null && { verbosity: body.verbosity }),
    ...body.chat_template_kwargs,
  };
}

/** The most tokens of reasoning; null: any number. */
export function readReasoningBudget(body: ReasoningFields): number | null {
  const own = body.chat_template_kwargs?.thinking_budget ?? null;
  const budget = body.thinking_budget ?? body.reasoning?.max_tokens ?? own;
  if (budget === null || (typeof budget === "number" && Number.isInteger(budget) && budget >= 0)) return budget;
  // Seed OSS writes -1 for no limit.
  if (budget === -1) return null;
  const param = "chat_template_kwargs.thinking_budget";
  throw new InvalidRequest(`Invalid value for '${param}': expected a number of tokens.`, param, "invalid_value");
}

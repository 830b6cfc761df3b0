import { InvalidRequest } from "../../errors.ts";
import { type ChatPrompt, renderPrompt } from "../chat/job.ts";
import { readTemplateVariables } from "../chat/template-variables.ts";
import type { ToolOffer } from "../chat/tools.ts";
import type { HttpContext } from "../context.ts";
import { checkPromptLength } from "../sampling.ts";
import { toMessages } from "./history.ts";
import type { Item } from "./items.ts";
import type { InputTokensRequest } from "./request-model.ts";

export type PromptFields = Pick<
  InputTokensRequest,
  "instructions" | "reasoning" | "chat_template_kwargs" | "enable_thinking" | "text" | "truncation"
>;

/** The prompt of a conversation; with `truncation: auto`, without the oldest turns where it is too long. */
export async function buildPrompt(
  context: HttpContext,
  body: PromptFields,
  items: readonly Item[],
  tools: Pick<ToolOffer, "shown">,
  maxTokens: number | null,
): Promise<ChatPrompt> {
  const variables = readTemplateVariables({
    chat_template_kwargs: body.chat_template_kwargs,
    enable_thinking: body.enable_thinking,
    reasoning_effort: body.reasoning?.effort,
    verbosity: body.text?.verbosity,
  });
  const render = (kept: readonly Item[]) => renderPrompt(context, toMessages(kept, body.instructions ?? null), tools, variables);
  const prompt = await render(items);
  const { model } = context.server;
  const isAuto = body.truncation === "auto";
  // Some of the context is for the answer.
  const room = model.contextLength - Math.min(maxTokens ?? 1024, Math.floor(model.contextLength / 4));
  if (!isAuto || prompt.tokens.length <= room) {
    checkPromptLength(prompt.tokens, maxTokens, model, "input");
    return prompt;
  }
  return (await shorten(items, prompt.tokens.length, room, render)) ?? refuse(prompt, context);
}

/** Leaves out as few of the oldest turns as will do; null: not even the last one fits. */
async function shorten(
  items: readonly Item[],
  length: number,
  room: number,
  render: (kept: readonly Item[]) => Promise<ChatPrompt>,
): Promise<ChatPrompt | null> {
  const sizes = items.map((item) => JSON.stringify(item).length);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  // Every attempt renders and encodes: those that leave out far too little are spared.
  const enough = total * (1 - room / length) * 0.9;
  let left = 0;
  for (const [index, item] of items.entries()) {
    if (index > 0 && beginsTurn(items, index) && left >= enough) {
      const prompt = await tryRender(render, [
        ...items.slice(0, index).filter(isStanding),
        ...withoutOrphans(items.slice(index)),
      ]);
      if (prompt !== null && prompt.tokens.length <= room) return prompt;
    }
    left += isStanding(item) ? 0 : (sizes[index] ?? 0);
  }
  return null;
}

/** A template may not take a conversation that begins here. */
async function tryRender(render: (kept: readonly Item[]) => Promise<ChatPrompt>, kept: Item[]): Promise<ChatPrompt | null> {
  try {
    return await render(kept);
  } catch (error) {
    if (error instanceof InvalidRequest) return null;
    throw error;
  }
}

function refuse({ tokens }: ChatPrompt, { server: { model } }: HttpContext): never {
  const message = `This model's maximum context length is ${model.contextLength} tokens, and even the last turn of 'input', which has ${tokens.length} tokens, does not fit.`;
  throw new InvalidRequest(message, "input", "context_length_exceeded");
}

/** What is never left out: what the model is told once for the whole conversation. */
function isStanding(item: Item): boolean {
  return item.type === "compaction" || (item.type === "message" && (item.role === "system" || item.role === "developer"));
}

/** Whether a user's or an assistant's turn begins at this place. */
function beginsTurn(items: readonly Item[], index: number): boolean {
  const kind = (item: Item | undefined) => {
    if (item?.type === "function_call_output") return "output";
    return item?.type === "message" && item.role !== "assistant" ? "user" : "assistant";
  };
  const [before, here] = [kind(items[index - 1]), kind(items[index])];
  return here === "user" || (here === "assistant" && before !== "assistant");
}

/** Outputs whose calls were left out mean nothing. */
function withoutOrphans(items: readonly Item[]): Item[] {
  const calls = new Set(items.flatMap((item) => (item.type === "function_call" ? [item.call_id] : [])));
  return items.filter((item) => item.type !== "function_call_output" || calls.has(item.call_id));
}

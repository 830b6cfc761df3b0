import { InvalidRequest } from "../../errors.ts";
import type { Message } from "../chat/model.ts";
import type { InputBlock, InputMessage, MessagesRequest, ResultContent, SystemContent } from "./request-model.ts";
import { readThinking } from "./thinking.ts";

type BlockOf<Type extends InputBlock["type"]> = Extract<InputBlock, { type: Type }>;
type ShownBlock = Exclude<Extract<ResultContent, readonly unknown[]>[number], null>;

/** A conversation as chat completions have it. */
export interface Conversation {
  messages: Message[];
  /** The beginning of the answer, which the last turn gave; null: none. */
  prefill: string | null;
}

interface Turn {
  role: "user" | "assistant";
  blocks: InputBlock[];
}

/** Claude Code's first line, which is another one in every request: with it no prompt would begin as the one before. */
const billingHeader = /^\s*x-anthropic-billing-header:[^\n]*\n*/;

/** Throws `InvalidRequest` where the last turn cannot be continued. */
export function toConversation({ system, messages }: Pick<MessagesRequest, "system" | "messages">): Conversation {
  const { turns, opening } = mergeTurns(messages);
  const told = [...toBlocks(system ?? []), ...opening];
  const instructions = told.flatMap((block) => (block.type === "text" ? readInstruction(block.text) : []));
  const last = turns.at(-1)?.role === "assistant" ? turns.pop() : undefined;
  return {
    messages: [
      ...(instructions.length > 0 ? [{ role: "system" as const, content: joinTexts(instructions) }] : []),
      ...turns.flatMap(toMessages),
    ],
    prefill: last ? readPrefill(last) : null,
  };
}

/**
 * Neighbours of one role are one turn: many templates take only turns that alternate. Many have no place for what the system says
 * later, too: before the first answer it belongs to the system prompt, after that to the user's turns.
 */
function mergeTurns(messages: readonly InputMessage[]): { turns: Turn[]; opening: InputBlock[] } {
  const turns: Turn[] = [];
  const opening: InputBlock[] = [];
  for (const { role: own, content } of messages) {
    const isOpening = own === "system" && turns.every((turn) => turn.role === "user");
    const role = own === "assistant" ? own : "user";
    const last = turns.at(-1);
    if (isOpening) opening.push(...toBlocks(content));
    else if (last?.role === role) last.blocks.push(...toBlocks(content));
    else turns.push({ role, blocks: toBlocks(content) });
  }
  return { turns, opening };
}

function toBlocks(content: InputMessage["content"] | SystemContent): InputBlock[] {
  return typeof content === "string" ? [{ type: "text", text: content }] : [...content];
}

function readInstruction(text: string): string[] {
  const rest = text.replace(billingHeader, "");
  return rest === "" ? [] : [rest];
}

function toMessages({ role, blocks }: Turn): Message[] {
  if (role === "assistant") return [toAssistantMessage(blocks)];
  // Results belong right behind their calls, whatever else the turn has.
  const results = blocks.filter((block) => block.type === "tool_result").map(toToolMessage);
  const texts = blocks.flatMap((block) => (isShown(block) ? [showBlock(block)] : []));
  return results.length > 0 && texts.length === 0 ? results : [...results, { role, content: joinTexts(texts) }];
}

function toToolMessage({ tool_use_id, content, is_error }: BlockOf<"tool_result">): Message {
  const text = typeof content === "string" ? content : joinTexts((content ?? []).map(showBlock));
  return { role: "tool", tool_call_id: tool_use_id, content: is_error ? `Error: ${text}` : text };
}

function toAssistantMessage(blocks: readonly InputBlock[]): Message {
  const thoughts = blocks.flatMap((block) => (block.type === "thinking" ? [readThinking(block)] : [])).filter(Boolean);
  const calls = blocks.flatMap((block) => (block.type === "tool_use" ? [toToolCall(block)] : []));
  return {
    role: "assistant",
    content: joinTexts(blocks.flatMap((block) => (block.type === "text" ? [block.text] : []))),
    ...(thoughts.length > 0 && { reasoning_content: joinTexts(thoughts) }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

function toToolCall({ id, name, input }: BlockOf<"tool_use">): Record<string, unknown> {
  return { id, type: "function", function: { name, arguments: JSON.stringify(input) } };
}

function readPrefill({ blocks }: Turn): string {
  const call = blocks.find((block) => block.type === "tool_use");
  if (!call) return joinTexts(blocks.flatMap((block) => (block.type === "text" ? [block.text] : [])));
  const id = call.id.slice(0, 64);
  throw new InvalidRequest(`The last turn has a 'tool_use' block without a 'tool_result' after it: '${id}'.`, "messages");
}

function isShown(block: InputBlock): block is Extract<InputBlock, { type: ShownBlock["type"] }> {
  return block.type === "text" || block.type === "document" || block.type === "search_result";
}

function showBlock(block: ShownBlock): string {
  switch (block.type) {
    case "text":
      return block.text;
    case "document":
      return joinTexts([block.title, block.context, block.source.data].filter((text) => text != null));
    case "search_result":
      return joinTexts([block.title, block.source, ...block.content.map(({ text }) => text)]);
    case "tool_reference":
      return block.tool_name;
  }
}

function joinTexts(texts: readonly string[]): string {
  return texts.join("\n");
}

import type { ChatFormat } from "./format.ts";

/** A message as a chat template reads it. */
export interface HistoryMessage {
  role: string;
  [key: string]: unknown;
}

const mistralId = /^[A-Za-z0-9]{9}$/;
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/**
 * Brings past turns into the shape that the family's template expects: reasoning under all the names that templates use, results
 * with the names of their calls, ids as the family has them.
 */
export function shapeHistory<Message extends HistoryMessage>(messages: readonly Message[], format: ChatFormat): Message[] {
  const names = new Map<unknown, string>();
  return messages.map((message) => {
    for (const call of listCalls(message)) names.set(call.id, call.function.name);
    const shaped = { ...message, ...shapeReasoning(message, format), ...shapeIds(message, format) };
    const name = message.role === "tool" ? names.get(message.tool_call_id) : undefined;
    return name === undefined || message.name != null ? shaped : { ...shaped, name };
  });
}

function shapeReasoning(message: HistoryMessage, { whole }: ChatFormat): Partial<HistoryMessage> {
  const text = message.reasoning_content ?? message.reasoning;
  if (message.role !== "assistant" || typeof text !== "string" || text === "") return {};
  const shared = { reasoning_content: text, reasoning: text };
  if (!whole) return shared;
  // The template of GPT-OSS refuses a message with calls that has both content and reasoning.
  const { content } = message;
  const hasBoth = listCalls(message).length > 0 && typeof content === "string" && content !== "";
  return hasBoth ? { ...shared, thinking: `${text}\n${content}`, content: "" } : { ...shared, thinking: text };
}

function shapeIds(message: HistoryMessage, { tools }: ChatFormat): Partial<HistoryMessage> {
  // Only Mistral's templates check them.
  if (tools?.createId === undefined) return {};
  const shaped: Partial<HistoryMessage> = {};
  if (typeof message.tool_call_id === "string") shaped.tool_call_id = shortenId(message.tool_call_id);
  if (Array.isArray(message.tool_calls)) {
    shaped.tool_calls = message.tool_calls.map((call: unknown) =>
      isRecord(call) && typeof call.id === "string" ? { ...call, id: shortenId(call.id) } : call,
    );
  }
  return shaped;
}

/** Nine letters and digits, the same ones for the same id. */
function shortenId(id: string): string {
  if (mistralId.test(id)) return id;
  let rest = Bun.hash.wyhash(id);
  let short = "";
  for (let count = 0; count < 9; count++) {
    short += alphabet[Number(rest % 62n)];
    rest /= 62n;
  }
  return short;
}

interface Call {
  id: unknown;
  function: { name: string };
}

function listCalls({ tool_calls: calls }: HistoryMessage): Call[] {
  if (!Array.isArray(calls)) return [];
  return calls.filter(
    (call: unknown): call is Call => isRecord(call) && isRecord(call.function) && typeof call.function.name === "string",
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

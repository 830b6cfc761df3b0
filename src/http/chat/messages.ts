import type { ChatFormat } from "../../chat/format.ts";
import { shapeHistory } from "../../chat/history.ts";
import type { ChatMessage } from "../../engine/request.ts";
import { InvalidRequest } from "../../errors.ts";
import type { Message } from "./model.ts";

const templateRoles: Record<Message["role"], string> = {
  // Newer names of OpenAI's; most chat templates know only the older ones.
  developer: "system",
  function: "tool",
  system: "system",
  user: "user",
  assistant: "assistant",
  tool: "tool",
};

/** Brings messages into the shape that the model's chat template reads: plain strings, tool arguments as objects, and so on. */
export function toTemplateMessages(messages: readonly Message[], format: ChatFormat): ChatMessage[] {
  const plain = messages.map((message, index) => {
    const shaped: ChatMessage = { ...message, role: templateRoles[message.role], content: toText(message, index) };
    const { function_call: older } = message;
    const calls = message.tool_calls ?? (older && [{ type: "function", function: older }]);
    if (calls == null) delete shaped.tool_calls;
    else shaped.tool_calls = calls.map(parseArguments);
    return shaped;
  });
  return shapeHistory(plain, format);
}

function toText({ role, content, refusal }: Message, index: number): string {
  const param = `messages.${index}.content`;
  if (content == null) {
    // An assistant turn may have tool calls in place of content.
    if (role === "assistant") return refusal ?? "";
    if (role === "function") return "";
    throw new InvalidRequest(
      `Missing required parameter: '${param}' (role '${role}' needs content).`,
      param,
      "missing_required_parameter",
    );
  }
  if (typeof content === "string") return content;
  return content
    .map(({ type, text, refusal }, part) => {
      if (type === "text" && text !== undefined) return text;
      if (type === "refusal" && role === "assistant" && refusal !== undefined) return refusal;
      const place = `${param}.${part}`;
      if (type === "text")
        throw new InvalidRequest(`Missing required parameter: '${place}.text'.`, `${place}.text`, "missing_required_parameter");
      throw new InvalidRequest(
        `Invalid value for '${place}.type': this model takes only 'text' parts, not '${type.slice(0, 40)}'.`,
        `${place}.type`,
        "invalid_value",
      );
    })
    .join("");
}

/** OpenAI sends arguments as a string of JSON, templates expect what it says. */
function parseArguments(call: Record<string, unknown>): Record<string, unknown> {
  const inner = call.function;
  if (typeof inner !== "object" || inner === null || !("arguments" in inner) || typeof inner.arguments !== "string") return call;
  try {
    return { ...call, function: { ...inner, arguments: JSON.parse(inner.arguments) as unknown } };
  } catch {
    return call;
  }
}

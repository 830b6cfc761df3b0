import { InvalidRequest } from "../errors.ts";
import { isRecord } from "./tokenizer-config.ts";

/** A message as clients send it; the engine's type of this name fits. */
export interface TemplateMessage {
  role: string;
  content?: string | null | { type: string; [key: string]: unknown }[];
  [key: string]: unknown;
}

/** What a template expects of messages, guessed from its source. */
export interface TemplateStyle {
  /** It loops over the parts of `content` and does not know plain strings. */
  wantsParts: boolean;
  knowsDeveloper: boolean;
}

export function readTemplateStyle(source: string): TemplateStyle {
  const loopsOverContent = /\bfor\s+\w+\s+in\s+\w+(?:\.content|\[\s*['"]content['"]\s*\])\s*(?:-?%\}|if\b)/.test(source);
  const knowsStrings = /content['"\]\s]*\s+is\s+(?:not\s+)?(?:string|iterable|sequence)/.test(source);
  return { wantsParts: loopsOverContent && !knowsStrings, knowsDeveloper: source.includes("developer") };
}

/** OpenAI messages as templates know them: content as one text, arguments as objects. Throws `InvalidRequest`. */
export function prepareMessages(
  messages: readonly TemplateMessage[],
  style: TemplateStyle,
  keepsArguments = false,
): Record<string, unknown>[] {
  return messages.map((message) => {
    const text = readContent(message.content);
    const prepared: Record<string, unknown> = { ...message, content: style.wantsParts ? [{ type: "text", text }] : text };
    if (message.role === "developer" && !style.knowsDeveloper) prepared.role = "system";
    if (Array.isArray(message.tool_calls) && !keepsArguments) prepared.tool_calls = message.tool_calls.map(parseArguments);
    return prepared;
  });
}

function readContent(content: TemplateMessage["content"]): string {
  if (content === null || content === undefined) return "";
  if (typeof content === "string") return content;
  return content.map(readPart).join("");
}

function readPart(part: { type: string; [key: string]: unknown }): string {
  const text = part.type === "refusal" ? part.refusal : part.type.endsWith("text") ? part.text : undefined;
  if (typeof text === "string") return text;
  throw new InvalidRequest(`this model takes text only, not a content part of type "${part.type}"`, "messages");
}

/** Templates read `arguments` as an object, OpenAI clients send it as JSON text. What is no object stays as it is. */
function parseArguments(call: unknown): unknown {
  if (!isRecord(call) || !isRecord(call.function) || typeof call.function.arguments !== "string") return call;
  const parsed = parseObject(call.function.arguments);
  return parsed ? { ...call, function: { ...call.function, arguments: parsed } } : call;
}

function parseObject(json: string): Record<string, unknown> | null {
  if (json.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(json);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}

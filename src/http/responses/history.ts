import type { Message } from "../chat/model.ts";
import type { Item, Reasoning } from "./items.ts";
import { decodeOpaque } from "./opaque.ts";

/** An assistant's turn of chat, which is several items here. */
interface AssistantTurn extends Message {
  role: "assistant";
  content: string;
  tool_calls?: { id: string; type: "function"; function: { name: string; arguments: string } }[];
}

/**
 * The messages of a conversation for the chat template. Instructions, leading system messages and summaries of what came before
 * are one system message, as most templates take no more; the reasoning, the text and the calls of one answer are one message.
 */
export function toMessages(items: readonly Item[], instructions: string | null): Message[] {
  const system: string[] = instructions === null || instructions === "" ? [] : [instructions];
  const messages: Message[] = [];
  let turn: AssistantTurn | null = null;
  const assistant = (begins: (open: AssistantTurn) => boolean): AssistantTurn => {
    if (turn === null || begins(turn)) {
      turn = { role: "assistant", content: "" };
      messages.push(turn);
    }
    return turn;
  };
  for (const item of items) {
    switch (item.type) {
      case "compaction":
        system.push(`Summary of the conversation so far:\n${decodeOpaque(item.encrypted_content) ?? ""}`);
        break;
      case "reasoning":
        assistant(hasSpoken).reasoning_content = readReasoning(item);
        break;
      case "function_call": {
        const call = { id: item.call_id, type: "function" as const, function: { name: item.name, arguments: item.arguments } };
        const open = assistant(() => false);
        open.tool_calls = [...(open.tool_calls ?? []), call];
        break;
      }
      case "function_call_output":
        messages.push({ role: "tool", tool_call_id: item.call_id, content: textOf(item.output) });
        turn = null;
        break;
      case "message":
        if (item.role === "assistant") {
          // Text after calls still belongs to them: their outputs have to follow the message that has the calls.
          assistant(({ content, tool_calls: calls }) => content !== "" && !calls).content += textOf(item.content);
          break;
        }
        turn = null;
        if (item.role !== "user" && messages.length === 0) system.push(textOf(item.content));
        else messages.push({ role: item.role, content: textOf(item.content) });
    }
  }
  return system.length === 0 ? messages : [{ role: "system", content: system.join("\n\n") }, ...messages];
}

function hasSpoken({ content, tool_calls: calls, reasoning_content: reasoning }: AssistantTurn): boolean {
  return content !== "" || calls !== undefined || reasoning != null;
}

function readReasoning({ content, summary, encrypted_content: opaque }: Reasoning): string {
  const shown = content?.length ? content : summary;
  const text = shown.map((part) => part.text).join("\n");
  return text === "" && opaque !== undefined ? (decodeOpaque(opaque) ?? "") : text;
}

type Parts = readonly ({ text: string } | { refusal: string })[];

function textOf(content: string | Parts): string {
  if (typeof content === "string") return content;
  return content.map((part) => ("text" in part ? part.text : part.refusal)).join("");
}

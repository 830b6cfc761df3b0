/** Runs parsers on texts cut in chosen places. */
import type { ChatEvent, Tool } from "../../src/chat/events.ts";
import { createParser } from "../../src/chat/parser.ts";
import { chooseFormat } from "../../src/chat/registry.ts";

export const tools: Tool[] = [
  {
    name: "get_weather",
    parameters: {
      type: "object",
      properties: {
        city: { type: "string" },
        days: { type: "integer" },
        detailed: { type: "boolean" },
        unit: { enum: ["C", "F"] },
        at: { $ref: "#/$defs/point" },
        tags: { type: "array", items: { type: "string" } },
        limit: { anyOf: [{ type: "number" }, { type: "null" }] },
      },
      $defs: { point: { type: "object", properties: { lat: { type: "number" } } } },
    },
  },
  { name: "write_file", parameters: { type: "object", properties: { path: { type: "string" }, text: { type: "string" } } } },
  { name: "now" },
];

export interface Call {
  name: string;
  arguments: string;
  malformed: string | null;
}

export interface Parsed {
  content: string;
  reasoning: string;
  calls: Call[];
  ids: string[];
}

export interface Family {
  toolParser?: string;
  reasoningParser?: string;
  prompt?: string;
  tools?: readonly Tool[];
}

/** Merges events, and throws where they break the contract. */
export function merge(events: readonly ChatEvent[]): Parsed {
  const parsed: Parsed = { content: "", reasoning: "", calls: [], ids: [] };
  let isOpen = false;
  for (const event of events) {
    if (event.type === "content" || event.type === "reasoning") {
      if (event.text === "") throw new Error("an empty event");
      parsed[event.type] += event.text;
      continue;
    }
    const expected = event.type === "tool_call_start" ? parsed.calls.length : parsed.calls.length - 1;
    if (event.index !== expected) throw new Error(`index ${event.index} in place of ${expected}`);
    if (isOpen === (event.type === "tool_call_start")) throw new Error(`${event.type} while open is ${isOpen}`);
    isOpen = event.type !== "tool_call_end";
    if (event.type === "tool_call_start") {
      parsed.calls.push({ name: event.name, arguments: "", malformed: null });
      parsed.ids.push(event.id);
    } else if (event.type === "tool_call_arguments") parsed.calls.at(-1)!.arguments += event.text;
    else parsed.calls.at(-1)!.malformed = event.malformed;
  }
  if (isOpen) throw new Error("a call has no end");
  return parsed;
}

/** All events of a text that comes in these pieces. */
export function parse(pieces: readonly string[], family: Family): ChatEvent[] {
  const format = chooseFormat({
    template: null,
    toolParser: family.toolParser ?? "none",
    reasoningParser: family.reasoningParser ?? "none",
  });
  let count = 0;
  const createId = () => `id-${count++}`;
  const parser = createParser({ format, tools: family.tools ?? tools, prompt: family.prompt ?? "", createId });
  return [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()];
}

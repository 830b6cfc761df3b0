import { InvalidRequest } from "../../errors.ts";
import type { InputItem, Parts } from "./input-model.ts";
import { createItemId, type InputText, type Item } from "./items.ts";
import { decodeOpaque } from "./opaque.ts";
import { listItems, type ResponseStore, type Turn } from "./store.ts";

export interface InputFields {
  input?: string | readonly InputItem[] | null;
  previous_response_id?: string | null;
}

/** A request's own items, and the turns that they come after. */
export interface ReadInput {
  readonly previous: Turn | null;
  readonly items: readonly Item[];
}

/** Finds what the request refers to and gives every item its id. Throws `InvalidRequest` for what there is not. */
export function readInput(store: ResponseStore, owner: string, { input, previous_response_id: id }: InputFields): ReadInput {
  const previous = id == null ? null : (store.get(owner, id)?.turn ?? null);
  if (id != null && previous === null) {
    const message = `Previous response with id '${id.slice(0, 80)}' not found.`;
    throw new InvalidRequest(message, "previous_response_id", "previous_response_not_found");
  }
  const given = typeof input === "string" ? [{ role: "user" as const, content: input }] : (input ?? []);
  if (given.length === 0 && previous === null)
    throw new InvalidRequest("Missing required parameter: 'input'.", "input", "missing_required_parameter");
  const items = given.map((item, index) => toItem(item, `input.${index}`, (found) => store.item(owner, found)));
  checkOutputs(items, previous);
  return { previous, items };
}

function toItem(item: InputItem, param: string, find: (id: string) => Item | null): Item {
  const status = "status" in item ? (item.status ?? "completed") : "completed";
  const id = item.id ?? createItemId(item.type === "item_reference" ? "message" : (item.type ?? "message"));
  switch (item.type) {
    case "item_reference": {
      const found = find(item.id);
      if (found) return found;
      throw new InvalidRequest(`Item with id '${item.id.slice(0, 80)}' not found.`, `${param}.id`, "invalid_value");
    }
    case "function_call":
      return { id, type: item.type, status, call_id: item.call_id, name: item.name, arguments: item.arguments };
    case "function_call_output": {
      const output = typeof item.output === "string" ? item.output : toInputTexts(item.output);
      return { id, type: item.type, status, call_id: item.call_id, output };
    }
    case "reasoning": {
      if (item.encrypted_content != null) checkOpaque(item.encrypted_content, item.content?.length || item.summary.length, param);
      return {
        id,
        type: item.type,
        status,
        summary: item.summary,
        ...(item.content && { content: item.content.map(({ text }) => ({ type: "reasoning_text" as const, text })) }),
        ...(item.encrypted_content != null && { encrypted_content: item.encrypted_content }),
      };
    }
    case "compaction":
      checkOpaque(item.encrypted_content, 0, param);
      return { id, type: item.type, encrypted_content: item.encrypted_content };
    default: {
      const { role, content } = item;
      const parts = typeof content === "string" ? [{ type: "text" as const, text: content }] : content;
      if (role !== "assistant") return { id, type: "message", status, role, content: toInputTexts(parts) };
      return { id, type: "message", status, role, content: parts.map(toOutputPart), ...(item.phase && { phase: item.phase }) };
    }
  }
}

function toInputTexts(parts: Parts): InputText[] {
  return parts.map((part) => ({ type: "input_text", text: part.type === "refusal" ? part.refusal : part.text }));
}

function toOutputPart(part: Parts[number]) {
  if (part.type === "refusal") return part;
  return { type: "output_text" as const, text: part.text, annotations: [], logprobs: [] };
}

/** What another server has written cannot be read; where the same is there in the clear, it need not be. */
function checkOpaque(content: string, alternatives: number, param: string): void {
  if (alternatives > 0 || decodeOpaque(content) !== null) return;
  throw new InvalidRequest(
    "This server cannot read the 'encrypted_content': it comes from another one.",
    `${param}.encrypted_content`,
    "invalid_encrypted_content",
  );
}

/** An output without its call would be meaningless to the model, and many templates refuse it. */
function checkOutputs(items: readonly Item[], previous: Turn | null): void {
  if (!items.some(({ type }) => type === "function_call_output")) return;
  const calls = new Set(listItems(previous).flatMap((item) => (item.type === "function_call" ? [item.call_id] : [])));
  for (const [index, item] of items.entries()) {
    if (item.type === "function_call") calls.add(item.call_id);
    if (item.type !== "function_call_output" || calls.has(item.call_id)) continue;
    const message = `No tool call found for function call output with call_id ${item.call_id.slice(0, 80)}.`;
    throw new InvalidRequest(message, `input.${index}.call_id`, "invalid_value");
  }
}

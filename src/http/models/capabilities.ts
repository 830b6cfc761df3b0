import { chooseFormat } from "../../chat/registry.ts";
import type { HttpContext } from "../context.ts";
import type { Model } from "./model.ts";

/** What may be asked of the served model, by its chat template and the server's options. */
export function listCapabilities({ server, options }: HttpContext): Model["capabilities"] {
  const { chatTemplate = null, generates = true, embedding } = server.model;
  const { toolParser, reasoningParser } = options;
  const { tools, reasoning, whole } = chooseFormat({ template: chatTemplate, toolParser, reasoningParser });
  const chats = generates && chatTemplate !== null;
  return {
    completions: generates,
    chat: chats,
    streaming: generates,
    tools: chats && (tools ?? whole) !== null && chatTemplate.includes("tools"),
    structured_output: generates,
    reasoning: chats && (reasoning ?? whole) !== null,
    prompt_caching: generates,
    embeddings: embedding != null,
    vision: false,
  };
}

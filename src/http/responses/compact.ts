import { InvalidRequest } from "../../errors.ts";
import { startChatJob } from "../chat/job.ts";
import { collectChat } from "../chat-events.ts";
import { chooseModel } from "../models/service.ts";
import { readInput } from "./input.ts";
import { createItemId, type Item } from "./items.ts";
import type { CompactedResponse } from "./model.ts";
import { encodeOpaque } from "./opaque.ts";
import { buildPrompt } from "./prompt.ts";
import type { CompactRequest } from "./request-model.ts";
import { type ResponseContext, toResponseUsage } from "./service.ts";
import { listItems } from "./store.ts";
import { readTools } from "./tools.ts";

const request =
  "Summarise the conversation so far, so that it can go on without its text: what the user wants, what was decided, found out and " +
  "done, names and figures that matter, and what is still to do. Answer with the summary only.";

/** Has the model summarise a conversation, for the client to go on from in place of it. */
export async function compactConversation(
  { context, store, owner }: ResponseContext,
  body: CompactRequest,
  signal: AbortSignal,
): Promise<CompactedResponse> {
  const choice = chooseModel(context, body.model);
  const { previous, items } = readInput(store, owner, body);
  const asked: Item = {
    id: createItemId("message"),
    type: "message",
    status: "completed",
    role: "user",
    content: [{ type: "input_text", text: request }],
  };
  const tools = readTools({});
  const { contextLength } = context.server.model;
  const maxTokens = Math.max(1, Math.floor(contextLength / 4));
  const prompt = await buildPrompt(context, body, [...listItems(previous), ...items, asked], tools, maxTokens);
  const job = await startChatJob(context, {
    choice,
    idPrefix: "resp_",
    prompt,
    tools,
    sampling: {},
    maxTokens,
    logprobs: null,
    answer: null,
    reasoningBudget: null,
    includeUsage: true,
    signal,
  });
  const [output] = await collectChat(job);
  const summary = output?.content.trim() ?? "";
  // Reasoning may have taken all the tokens there were.
  if (summary === "") throw new InvalidRequest("The model gave no summary of this conversation.", "input", "empty_summary");
  return {
    id: job.id,
    object: "response.compaction",
    created_at: job.created,
    output: [{ id: createItemId("compaction"), type: "compaction", encrypted_content: encodeOpaque(summary) }],
    usage: toResponseUsage(job),
  };
}

/** How a conversation becomes a running job: the same for chat completions, responses and messages. */
import type { ChatFormat } from "../../chat/format.ts";
import { createParser } from "../../chat/parser.ts";
import { listFormatTokens } from "../../chat/registry.ts";
import type { GrammarSpec } from "../../engine/request.ts";
import { type ChatJob, createChoice } from "../chat-events.ts";
import { findFormat } from "../chat-format.ts";
import { compileDemand } from "../chat-grammar.ts";
import type { HttpContext } from "../context.ts";
import { type JobOptions, startJob } from "../job.ts";
import type { ModelChoice } from "../models/service.ts";
import { type SamplingBody, toGenerationRequests } from "../sampling.ts";
import { toTemplateMessages } from "./messages.ts";
import type { Message } from "./model.ts";
import type { ToolOffer } from "./tools.ts";

/** A conversation as the model reads it. */
export interface ChatPrompt {
  readonly text: string;
  readonly tokens: number[];
  /** How the answer is written; without tools, no calls are looked for. */
  readonly format: ChatFormat;
  /** Tokens that end an answer, besides the model's own. */
  readonly endTokenIds: readonly number[];
}

export interface ChatJobOptions extends Pick<JobOptions, "idPrefix" | "includeUsage" | "signal"> {
  choice: ModelChoice;
  prompt: ChatPrompt;
  tools: ToolOffer;
  sampling: SamplingBody;
  maxTokens: number | null;
  /** Null: none. Otherwise how many of the most likely tokens are listed. */
  logprobs: number | null;
  /** What an answer without calls has to look like; null: like anything. */
  answer: GrammarSpec | null;
  /** As in `AnswerDemand`. */
  answerParam?: string;
  /** The most tokens of reasoning; null: any number. */
  reasoningBudget: number | null;
}

/** Throws `InvalidRequest` for messages that the model's template does not take. */
export async function renderPrompt(
  context: HttpContext,
  messages: readonly Message[],
  { shown }: Pick<ToolOffer, "shown">,
  kwargs: Readonly<Record<string, unknown>>,
): Promise<ChatPrompt> {
  const { syntax, endTokenIds } = await findFormat(context);
  const text = context.server.renderChat(toTemplateMessages(messages, syntax), { tools: shown, kwargs });
  const tokens = await context.server.encode(text.toWellFormed(), { addSpecialTokens: false });
  return { text, tokens, format: shown ? syntax : { ...syntax, tools: null }, endTokenIds };
}

/** Submits the choices of an answer. Throws `InvalidRequest` for what cannot be honoured, and what `startJob` throws. */
export async function startChatJob(context: HttpContext, options: ChatJobOptions): Promise<ChatJob> {
  const { choice, prompt, tools, sampling, maxTokens, logprobs, answer, reasoningBudget, signal } = options;
  const { format, endTokenIds } = prompt;
  const answerDemand = { answer, answerParam: options.answerParam, reasoningBudget };
  const demand = { ...tools, ...answerDemand, format, prompt: prompt.text, tools: tools.callable };
  const grammar = await compileDemand(context, demand, signal);
  const { shown: keepSpecialTokens } = listFormatTokens(format);
  const parts = { promptTokens: prompt.tokens, adapter: choice.adapter, maxTokens, logprobs };
  const requests = toGenerationRequests(sampling, parts, context.server.model).map((request) => ({
    ...request,
    grammar,
    keepSpecialTokens,
    stopTokenIds: request.ignoreEos ? request.stopTokenIds : [...request.stopTokenIds, ...endTokenIds],
  }));
  const job = startJob(context, {
    model: choice.model,
    idPrefix: options.idPrefix,
    requests,
    promptTokens: prompt.tokens.length,
    includeUsage: options.includeUsage,
    logprobs: logprobs !== null,
    signal,
  });
  const parser = { format, tools: tools.callable, prompt: prompt.text };
  return { ...job, choicesRead: requests.map(() => createChoice(createParser(parser), tools.single)) };
}

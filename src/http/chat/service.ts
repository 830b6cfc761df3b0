import { createParser } from "../../chat/parser.ts";
import { listFormatTokens } from "../../chat/registry.ts";
import type { GeneratedToken } from "../../engine/request.ts";
import { InvalidRequest } from "../../errors.ts";
import { type ChatJob, type ChatOutput, collectChat, countChatUsage, createChoice } from "../chat-events.ts";
import { findFormat } from "../chat-format.ts";
import { compileDemand } from "../chat-grammar.ts";
import type { HttpContext } from "../context.ts";
import { type Job, startJob } from "../job.ts";
import { chooseModel } from "../models/service.ts";
import { checkPromptLength, checkStreamOptions, toGenerationRequests } from "../sampling.ts";
import { clampLogprob, showToken } from "../token-text.ts";
import { toTemplateMessages } from "./messages.ts";
import type { ChatCompletion, ChatCompletionRequest, ChatLogprobs } from "./model.ts";
import { readReasoningBudget, readTemplateVariables } from "./template-variables.ts";
import { readToolOffer } from "./tools.ts";

type AnswerMessage = ChatCompletion["choices"][number]["message"];

/** A chat job as `/v1/chat/completions` answers it. */
export interface ChatCompletionJob extends ChatJob {
  /** Whether the reasoning is part of the answer. */
  readonly showsReasoning: boolean;
}

/** Checks the whole request and submits it; everything that can be refused is refused here, before any answer begins. */
export async function startChat(
  context: HttpContext,
  body: ChatCompletionRequest,
  signal: AbortSignal,
): Promise<ChatCompletionJob> {
  const { server } = context;
  const { model, adapter } = chooseModel(context, body.model);
  checkSupported(body);
  const tools = readToolOffer(body);
  const { syntax, endTokenIds } = await findFormat(context);
  const prompt = server.renderChat(toTemplateMessages(body.messages, syntax), {
    tools: tools.shown,
    kwargs: readTemplateVariables(body),
  });
  const promptTokens = await server.encode(prompt.toWellFormed(), { addSpecialTokens: false });
  const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? null;
  checkPromptLength(promptTokens, maxTokens, server.model, "messages");
  const logprobs = body.logprobs ? (body.top_logprobs ?? 0) : null;
  const format = tools.shown ? syntax : { ...syntax, tools: null };
  const { shown: keepSpecialTokens } = listFormatTokens(format);
  const demand = { ...tools, format, prompt, tools: tools.callable, answer: null, reasoningBudget: readReasoningBudget(body) };
  const grammar = await compileDemand(context, demand, signal);
  const requests = toGenerationRequests(body, { promptTokens, adapter, maxTokens, logprobs }, server.model).map((request) => ({
    ...request,
    grammar,
    keepSpecialTokens,
    stopTokenIds: request.ignoreEos ? request.stopTokenIds : [...request.stopTokenIds, ...endTokenIds],
  }));
  const job = startJob(context, {
    model,
    idPrefix: "chatcmpl",
    requests,
    promptTokens: promptTokens.length,
    includeUsage: body.stream_options?.include_usage ?? false,
    logprobs: logprobs !== null,
    signal,
  });
  return {
    ...job,
    choicesRead: requests.map(() => createChoice(createParser({ format, tools: tools.callable, prompt }), tools.single)),
    showsReasoning: body.include_reasoning !== false && body.reasoning?.exclude !== true,
  };
}

function checkSupported(body: ChatCompletionRequest): void {
  checkStreamOptions(body);
  if (body.top_logprobs != null && !body.logprobs) {
    throw new InvalidRequest("'top_logprobs' is only allowed when 'logprobs' is true.", "top_logprobs", "invalid_value");
  }
  if (body.response_format != null && body.response_format.type !== "text") {
    const type = body.response_format.type.slice(0, 40);
    throw new InvalidRequest(`'response_format' of type '${type}' is not supported yet.`, "response_format", "unsupported_value");
  }
}

/** The whole answer at once. */
export async function completeChat(job: ChatCompletionJob): Promise<ChatCompletion> {
  const outputs = await collectChat(job);
  return {
    id: job.id,
    object: "chat.completion",
    created: job.created,
    model: job.model,
    system_fingerprint: job.context.fingerprint,
    choices: outputs.map((output, index) => ({
      index,
      message: toMessage(output, job.showsReasoning),
      logprobs: job.logprobs ? toChatLogprobs(job, output.tokens) : null,
      finish_reason: output.finishReason,
    })),
    usage: countChatUsage(job),
  };
}

function toMessage({ content, reasoning, toolCalls }: ChatOutput, showsReasoning: boolean): AnswerMessage {
  const calls = toolCalls.map(({ id, name, arguments: json }) => ({
    id,
    type: "function" as const,
    function: { name, arguments: json },
  }));
  return {
    role: "assistant",
    content: content === "" && calls.length > 0 ? null : content,
    refusal: null,
    ...(showsReasoning && reasoning !== "" && { reasoning_content: reasoning, reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

export function toChatLogprobs({ context: { server } }: Job, tokens: readonly GeneratedToken[]): ChatLogprobs {
  const show = ({ id, logprob }: GeneratedToken) => {
    const { token, bytes } = showToken(server, id);
    return { token, logprob: clampLogprob(logprob), bytes };
  };
  return { content: tokens.map((token) => ({ ...show(token), top_logprobs: (token.top ?? []).map(show) })), refusal: null };
}

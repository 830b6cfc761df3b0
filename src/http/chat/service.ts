import type { GeneratedToken } from "../../engine/request.ts";
import { InvalidRequest } from "../../errors.ts";
import { type ChatJob, type ChatOutput, collectChat, countChatUsage } from "../chat-events.ts";
import type { HttpContext } from "../context.ts";
import type { Job } from "../job.ts";
import { chooseModel } from "../models/service.ts";
import { checkPromptLength, checkStreamOptions } from "../sampling.ts";
import { readStructure } from "../structured-output.ts";
import { readTimings } from "../timings.ts";
import { clampLogprob, showToken } from "../token-text.ts";
import { renderPrompt, startChatJob } from "./job.ts";
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
  const choice = chooseModel(context, body.model);
  checkSupported(body);
  const structure = readStructure(body);
  const tools = readToolOffer(body);
  const prompt = await renderPrompt(context, body.messages, tools, readTemplateVariables(body));
  const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? null;
  checkPromptLength(prompt.tokens, maxTokens, context.server.model, "messages");
  const job = await startChatJob(context, {
    choice,
    idPrefix: "chatcmpl-",
    prompt,
    tools,
    sampling: body,
    maxTokens,
    logprobs: body.logprobs ? (body.top_logprobs ?? 0) : null,
    answer: structure?.spec ?? null,
    answerParam: structure?.param,
    reasoningBudget: readReasoningBudget(body),
    includeUsage: body.stream_options?.include_usage ?? false,
    signal,
  });
  return { ...job, showsReasoning: body.include_reasoning !== false && body.reasoning?.exclude !== true };
}

function checkSupported(body: ChatCompletionRequest): void {
  checkStreamOptions(body);
  if (body.top_logprobs != null && !body.logprobs) {
    throw new InvalidRequest("'top_logprobs' is only allowed when 'logprobs' is true.", "top_logprobs", "invalid_value");
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
    timings: readTimings(job),
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

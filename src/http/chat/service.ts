import type { GeneratedToken } from "../../engine/request.ts";
import { InvalidRequest } from "../../errors.ts";
import type { HttpContext } from "../context.ts";
import { collectJob, countUsage, type Job, startJob } from "../job.ts";
import { chooseModel } from "../models/service.ts";
import { checkPromptLength, checkStreamOptions, toGenerationRequests } from "../sampling.ts";
import { clampLogprob, showToken } from "../token-text.ts";
import { toTemplateMessages } from "./messages.ts";
import type { ChatCompletion, ChatCompletionRequest, ChatLogprobs } from "./model.ts";

/** Checks the whole request and submits it; everything that can be refused is refused here, before any answer begins. */
export async function startChat(context: HttpContext, body: ChatCompletionRequest, signal: AbortSignal): Promise<Job> {
  const { server } = context;
  const { model, adapter } = chooseModel(context, body.model);
  checkSupported(body);
  const kwargs = {
    ...body.chat_template_kwargs,
    ...(body.reasoning_effort != null && { reasoning_effort: body.reasoning_effort }),
  };
  const tools = body.tool_choice === "none" || !body.tools?.length ? null : body.tools;
  const prompt = server.renderChat(toTemplateMessages(body.messages), { tools, kwargs });
  const promptTokens = await server.encode(prompt.toWellFormed(), { addSpecialTokens: false });
  const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? null;
  checkPromptLength(promptTokens, maxTokens, server.model, "messages");
  const logprobs = body.logprobs ? (body.top_logprobs ?? 0) : null;
  return startJob(context, {
    model,
    idPrefix: "chatcmpl",
    requests: toGenerationRequests(body, { promptTokens, adapter, maxTokens, logprobs }, server.model),
    promptTokens: promptTokens.length,
    includeUsage: body.stream_options?.include_usage ?? false,
    logprobs: logprobs !== null,
    signal,
  });
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
  if (body.tool_choice != null && body.tool_choice !== "none" && body.tool_choice !== "auto") {
    throw new InvalidRequest(
      "'tool_choice' other than 'none' and 'auto' is not supported yet.",
      "tool_choice",
      "unsupported_value",
    );
  }
}

/** The whole answer at once. */
export async function completeChat(job: Job): Promise<ChatCompletion> {
  const outputs = await collectJob(job);
  return {
    id: job.id,
    object: "chat.completion",
    created: job.created,
    model: job.model,
    system_fingerprint: job.context.fingerprint,
    choices: outputs.map(({ text, tokens, finishReason }, index) => ({
      index,
      message: { role: "assistant", content: text, refusal: null },
      logprobs: job.logprobs ? toChatLogprobs(job, tokens) : null,
      finish_reason: finishReason ?? "stop",
    })),
    usage: countUsage(job),
  };
}

export function toChatLogprobs({ context: { server } }: Job, tokens: readonly GeneratedToken[]): ChatLogprobs {
  const show = ({ id, logprob }: GeneratedToken) => {
    const { token, bytes } = showToken(server, id);
    return { token, logprob: clampLogprob(logprob), bytes };
  };
  return { content: tokens.map((token) => ({ ...show(token), top_logprobs: (token.top ?? []).map(show) })), refusal: null };
}

import { findReasoningState } from "../../chat/reasoning-state.ts";
import { InvalidRequest, NotFound } from "../../errors.ts";
import { type ChatPrompt, renderPrompt, startChatJob } from "../chat/job.ts";
import type { ToolOffer } from "../chat/tools.ts";
import { type ChatJob, countChatUsage } from "../chat-events.ts";
import type { HttpContext } from "../context.ts";
import { chooseModel, type ModelChoice } from "../models/service.ts";
import { checkPromptLength } from "../sampling.ts";
import { toConversation } from "./conversation.ts";
import type { MessageUsage, TokenCount } from "./model.ts";
import type { CountTokensRequest, MessagesRequest } from "./request-model.ts";
import { readThinkingBudget, readThinkingVariables, readThinkingView, type ThinkingView } from "./thinking.ts";
import { readTools } from "./tools.ts";

/** Nothing at all would be left of a smaller share. */
const smallestTopP = 1e-6;

/** A chat job as `/v1/messages` answers it. */
export interface MessageJob extends ChatJob {
  readonly maxTokens: number;
  readonly thinking: ThinkingView;
}

interface Prepared {
  choice: ModelChoice;
  tools: ToolOffer;
  prompt: ChatPrompt;
}

/** Checks the whole request and submits it; everything that can be refused is refused here, before any answer begins. */
export async function startMessage(context: HttpContext, body: MessagesRequest, signal: AbortSignal): Promise<MessageJob> {
  const { choice, tools, prompt } = await prepare(context, body);
  const { max_tokens: maxTokens, stop_sequences: stop, temperature, top_p: topP, top_k } = body;
  const { model } = context.server;
  if (prompt.tokens.length >= model.contextLength) {
    // In the words that Anthropic's clients know, which shorten the conversation then.
    const message = `prompt is too long: ${prompt.tokens.length} tokens > ${model.contextLength} maximum`;
    throw new InvalidRequest(message, "messages", "context_length_exceeded");
  }
  checkPromptLength(prompt.tokens, maxTokens, model, "messages");
  const reasoningBudget = readThinkingBudget(body);
  if (reasoningBudget !== null && tools.mustCall && prompt.format.whole) {
    const param = "thinking.budget_tokens";
    throw new InvalidRequest(`This model takes no '${param}' where 'tool_choice' forces a call.`, param, "unsupported_value");
  }
  const schema = body.output_config?.format?.schema ?? body.output_format?.schema;
  const job = await startChatJob(context, {
    choice,
    prompt,
    tools,
    idPrefix: "msg_",
    sampling: { stop, temperature, top_k, top_p: topP == null ? null : Math.max(topP, smallestTopP) },
    maxTokens,
    logprobs: null,
    answer: schema ? { kind: "json_schema", schema } : null,
    answerParam: "output_config.format",
    reasoningBudget,
    includeUsage: true,
    signal,
  });
  return { ...job, maxTokens, thinking: readThinkingView(body) };
}

/** The tokens that a request with this prompt is counted with. */
export async function countTokens(context: HttpContext, body: CountTokensRequest): Promise<TokenCount> {
  const { prompt } = await prepare(context, body);
  return { input_tokens: prompt.tokens.length };
}

/** Token counts so far. */
export function countMessageUsage(job: MessageJob): MessageUsage {
  const { prompt_tokens, completion_tokens, prompt_tokens_details, completion_tokens_details } = countChatUsage(job);
  return {
    input_tokens: prompt_tokens - prompt_tokens_details.cached_tokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: prompt_tokens_details.cached_tokens,
    output_tokens: completion_tokens,
    output_tokens_details: { thinking_tokens: completion_tokens_details.reasoning_tokens },
    service_tier: "standard",
  };
}

async function prepare(context: HttpContext, body: CountTokensRequest): Promise<Prepared> {
  const choice = chooseServed(context, body.model);
  const tools = readTools(body);
  const { messages, prefill } = toConversation(body);
  const prompt = await renderPrompt(context, messages, tools, readThinkingVariables(body));
  return { choice, tools, prompt: prefill === null ? prompt : await continuePrompt(context, prompt, prefill) };
}

function chooseServed(context: HttpContext, name: string | null | undefined): ModelChoice {
  try {
    return chooseModel(context, name);
  } catch (error) {
    if (!(error instanceof NotFound)) throw error;
    const hint = "Ask for it by that name (Claude Code: ANTHROPIC_MODEL), or start the server with --accept-any-model.";
    throw new NotFound(`${error.message} ${hint}`, error.param, error.code);
  }
}

/** Goes on with an answer that the client has begun. */
async function continuePrompt({ server }: HttpContext, prompt: ChatPrompt, prefill: string): Promise<ChatPrompt> {
  const text = prompt.text + beginAnswer(prompt) + prefill;
  return { ...prompt, text, tokens: await server.encode(text.toWellFormed(), { addSpecialTokens: false }) };
}

/** What stands between the end of a prompt and the answer proper. */
function beginAnswer({ format, text }: ChatPrompt): string {
  if (format.whole) return "<|channel|>final<|message|>";
  const state = findReasoningState(format, text);
  return state?.start === "open" ? `${state.forcedEnd}\n\n` : "";
}

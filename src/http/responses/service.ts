import type { GeneratedToken, GrammarSpec } from "../../engine/request.ts";
import { startChatJob } from "../chat/job.ts";
import { readReasoningBudget } from "../chat/template-variables.ts";
import { type ChatJob, countChatUsage, readChat } from "../chat-events.ts";
import type { HttpContext } from "../context.ts";
import { cancelJob, type Job } from "../job.ts";
import { chooseModel } from "../models/service.ts";
import { checkStreamOptions } from "../sampling.ts";
import { clampLogprob, showToken } from "../token-text.ts";
import { Answer } from "./answer.ts";
import type { ResponseEventBody } from "./events.ts";
import { readInput } from "./input.ts";
import type { OutputItem, TokenLogprob } from "./items.ts";
import type { Response, ResponseUsage } from "./model.ts";
import { buildPrompt } from "./prompt.ts";
import type { ResponseRequest, TextFormat } from "./request-model.ts";
import { describeSettings, type Settings } from "./settings.ts";
import { listItems, type ResponseStore, type Turn } from "./store.ts";
import { readTools } from "./tools.ts";

/** A running response. */
export interface ResponseJob extends ChatJob {
  readonly settings: Settings;
  readonly answer: Answer;
  /** Keeps the response, if it is to be kept. */
  readonly keep: (response: Response) => void;
}

/** The store and who asks. */
export interface ResponseContext {
  readonly context: HttpContext;
  readonly store: ResponseStore;
  readonly owner: string;
}

/** Checks the whole request and submits it; everything that can be refused is refused here, before any answer begins. */
export async function startResponse(
  { context, store, owner }: ResponseContext,
  body: ResponseRequest,
  signal: AbortSignal,
): Promise<ResponseJob> {
  const choice = chooseModel(context, body.model);
  checkStreamOptions(body);
  const tools = readTools(body);
  const { previous, items } = readInput(store, owner, body);
  const maxTokens = body.max_output_tokens ?? null;
  const prompt = await buildPrompt(context, body, [...listItems(previous), ...items], tools, maxTokens);
  const withLogprobs = body.top_logprobs != null || body.include?.includes("message.output_text.logprobs") === true;
  const job = await startChatJob(context, {
    choice,
    idPrefix: "resp_",
    prompt,
    tools,
    sampling: body,
    maxTokens,
    logprobs: withLogprobs ? (body.top_logprobs ?? 0) : null,
    answer: readFormat(body.text?.format),
    answerParam: "text.format",
    reasoningBudget: readReasoningBudget(body),
    includeUsage: true,
    signal,
  });
  const answer = new Answer({
    reasoning: {
      asSummary: body.reasoning?.summary != null,
      encoded: body.include?.includes("reasoning.encrypted_content") === true,
    },
    showTokens: (tokens) => (withLogprobs ? tokens.map((token) => showLogprob(job, token)) : []),
  });
  const settings = describeSettings(body, choice.model, context.server.model);
  const keep = (response: Response) => {
    const turn: Turn = { previous, input: items, output: response.output };
    if (settings.store) store.add(owner, { response, turn });
  };
  return { ...job, settings, answer, keep };
}

/** The answer's events in pieces; the last one has the finished response. Read it once; throws as `readChat` does. */
export async function* readResponse(job: ResponseJob): AsyncGenerator<ResponseEventBody[]> {
  const { answer } = job;
  let isCut = false;
  for await (const [, { events, finishReason }] of readChat(job)) {
    for (const event of events) answer.write(event);
    isCut = finishReason === "length";
    if (finishReason !== null) answer.end(isCut);
    yield answer.take();
  }
  const status = isCut ? "incomplete" : "completed";
  const response = describeResponse(job, status, answer.items);
  job.keep(response);
  yield [{ type: `response.${status}`, response }];
}

/** The whole answer at once. */
export async function completeResponse(job: ResponseJob): Promise<Response> {
  try {
    for await (const events of readResponse(job)) {
      for (const event of events) if ("response" in event) return event.response;
    }
  } catch (error) {
    cancelJob(job);
    throw error;
  }
  throw new RangeError("the response has no end");
}

export function describeResponse(
  job: ResponseJob,
  status: Response["status"],
  output: OutputItem[],
  error: Response["error"] = null,
): Response {
  return {
    id: job.id,
    object: "response",
    created_at: job.created,
    completed_at: status === "completed" ? Math.floor(Date.now() / 1000) : null,
    status,
    error,
    incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
    output,
    usage: status === "in_progress" ? null : toResponseUsage(job),
    ...job.settings,
  };
}

export function toResponseUsage(job: ChatJob): ResponseUsage {
  const usage = countChatUsage(job);
  return {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: { cached_tokens: usage.prompt_tokens_details.cached_tokens, cache_write_tokens: 0 },
    output_tokens: usage.completion_tokens,
    output_tokens_details: { reasoning_tokens: usage.completion_tokens_details.reasoning_tokens },
    total_tokens: usage.total_tokens,
  };
}

function readFormat(format: TextFormat | null | undefined): GrammarSpec | null {
  switch (format?.type) {
    case "json_object":
      return { kind: "json_object" };
    case "json_schema":
      return { kind: "json_schema", schema: format.schema };
    default:
      return null;
  }
}

function showLogprob({ context: { server } }: Job, token: GeneratedToken): TokenLogprob {
  const show = ({ id, logprob }: GeneratedToken) => ({ ...showToken(server, id), logprob: clampLogprob(logprob) });
  return { ...show(token), top_logprobs: (token.top ?? []).map(show) };
}

import type { GeneratedToken } from "../../engine/request.ts";
import { InvalidRequest } from "../../errors.ts";
import type { HttpContext } from "../context.ts";
import { collectJob, countUsage, type Job, startJob } from "../job.ts";
import { chooseModel } from "../models/service.ts";
import { checkPromptLength, checkStreamOptions, toGenerationRequests } from "../sampling.ts";
import { compileStructure, readStructure } from "../structured-output.ts";
import { readTimings } from "../timings.ts";
import { clampLogprob, nameToken, showToken } from "../token-text.ts";
import type { Completion, CompletionLogprobs, CompletionRequest } from "./model.ts";
import { readPrompts } from "./prompts.ts";

/** Choices over all prompts of one request. */
const maxTotalChoices = 128;
const defaultMaxTokens = 16;

/** A job, with what `echo` puts before each choice. */
export interface CompletionJob extends Job {
  readonly echoes: readonly string[];
}

/** Checks the whole request and submits it; everything that can be refused is refused here, before any answer begins. */
export async function startCompletion(
  context: HttpContext,
  body: CompletionRequest,
  signal: AbortSignal,
): Promise<CompletionJob> {
  const { server } = context;
  const { model, adapter } = chooseModel(context, body.model);
  checkSupported(body);
  const n = body.n ?? 1;
  const maxTokens = body.max_tokens ?? defaultMaxTokens;
  const prompts = await readPrompts(server, body.prompt);
  if (prompts.length * n > maxTotalChoices) {
    throw new InvalidRequest(
      `${prompts.length} prompts with 'n' of ${n} are more than ${maxTotalChoices} choices.`,
      "n",
      "invalid_value",
    );
  }
  for (const { tokens } of prompts) checkPromptLength(tokens, maxTokens, server.model, "prompt");
  const logprobs = body.logprobs ?? null;
  const grammar = await compileStructure(server, readStructure(body), signal);
  const job = startJob(context, {
    model,
    idPrefix: "cmpl-",
    requests: prompts.flatMap(({ tokens }) =>
      toGenerationRequests(body, { promptTokens: tokens, adapter, maxTokens, logprobs, grammar }, server.model),
    ),
    choices: n,
    promptTokens: prompts.reduce((sum, { tokens }) => sum + tokens.length, 0),
    includeUsage: body.stream_options?.include_usage ?? false,
    logprobs: logprobs !== null,
    signal,
  });
  return { ...job, echoes: prompts.flatMap((prompt) => Array<string>(n).fill(body.echo ? prompt.text() : "")) };
}

function checkSupported(body: CompletionRequest): void {
  checkStreamOptions(body);
  if (body.best_of != null && body.best_of !== 1 && body.best_of !== (body.n ?? 1)) {
    throw new InvalidRequest("'best_of' other than 1 or the value of 'n' is not supported.", "best_of", "unsupported_value");
  }
  if (body.echo && body.logprobs != null) {
    throw new InvalidRequest(
      "'logprobs' with 'echo' is not supported: there are none for the prompt.",
      "logprobs",
      "unsupported_value",
    );
  }
}

/** The whole answer at once. */
export async function completeText(job: CompletionJob): Promise<Completion> {
  const outputs = await collectJob(job);
  return {
    id: job.id,
    object: "text_completion",
    created: job.created,
    model: job.model,
    system_fingerprint: job.context.fingerprint,
    choices: outputs.map(({ text, tokens, finishReason }, index) => ({
      text: job.echoes[index]! + text,
      index,
      logprobs: job.logprobs ? toCompletionLogprobs(job, tokens, 0) : null,
      finish_reason: finishReason ?? "stop",
    })),
    usage: countUsage(job),
    timings: readTimings(job),
  };
}

/** `offset`: how much text came before these tokens, in UTF-16 units. */
export function toCompletionLogprobs(job: Job, tokens: readonly GeneratedToken[], offset: number): CompletionLogprobs {
  const { server } = job.context;
  const offsets: number[] = [];
  for (const { id } of tokens) {
    offsets.push(offset);
    offset += showToken(server, id).token.length;
  }
  return {
    tokens: tokens.map((token) => nameToken(server, token)),
    token_logprobs: tokens.map(({ logprob }) => clampLogprob(logprob)),
    top_logprobs: tokens.map(({ top }) =>
      Object.fromEntries((top ?? []).map((other) => [nameToken(server, other), clampLogprob(other.logprob)])),
    ),
    text_offset: offsets,
  };
}

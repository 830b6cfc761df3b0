/** Chat requests through the official client, streamed or not, to one shape of answer. */
import type OpenAI from "openai";

/** OpenAI's parameters, and those that this server takes besides. */
export interface Question extends Omit<OpenAI.ChatCompletionCreateParamsNonStreaming, "model" | "stream" | "tools"> {
  tools?: object[] | null;
  chat_template_kwargs?: object;
  cache_salt?: string;
  top_k?: number;
  min_p?: number;
  repetition_penalty?: number;
  ignore_eos?: boolean;
  min_tokens?: number;
}

export interface Choice {
  text: string;
  reasoning: string;
  calls: { name: string; arguments: string }[];
  finishReason: string | null;
  tokens: OpenAI.ChatCompletionTokenLogprob[];
}

export interface Answer {
  choices: Choice[];
  usage: OpenAI.CompletionUsage | null;
  /** When the first text and the last event came, on `performance.now()`'s clock. */
  firstTextAt: number;
  endedAt: number;
}

export interface AskOptions {
  signal?: AbortSignal;
  /** Called at each piece of text. */
  onText?: (text: string) => void;
}

/** Streams, with usage at the end. */
export async function ask(openai: OpenAI, question: Question, options: AskOptions = {}): Promise<Answer> {
  const body = { model: "default", ...question, stream: true, stream_options: { include_usage: true } };
  const events = await openai.chat.completions.create(body as OpenAI.ChatCompletionCreateParamsStreaming, {
    signal: options.signal,
  });
  const choices = Array.from(
    { length: question.n ?? 1 },
    (): Choice => ({ text: "", reasoning: "", calls: [], finishReason: null, tokens: [] }),
  );
  let usage: OpenAI.CompletionUsage | null = null;
  let firstTextAt = Number.NaN;
  for await (const event of events) {
    usage = event.usage ?? usage;
    for (const { index, delta, logprobs, finish_reason } of event.choices) {
      const choice = choices[index]!;
      if (choice.finishReason !== null) throw new Error("a piece came after the end");
      if (delta.content) {
        if (Number.isNaN(firstTextAt)) firstTextAt = performance.now();
        choice.text += delta.content;
        options.onText?.(delta.content);
      }
      choice.reasoning += reasoningOf(delta);
      for (const call of delta.tool_calls ?? []) {
        choice.calls[call.index] ??= { name: "", arguments: "" };
        choice.calls[call.index]!.name += call.function?.name ?? "";
        choice.calls[call.index]!.arguments += call.function?.arguments ?? "";
      }
      choice.tokens.push(...(logprobs?.content ?? []));
      choice.finishReason = finish_reason;
    }
  }
  return { choices, usage, firstTextAt, endedAt: performance.now() };
}

/** The same without streaming. */
export async function askWhole(openai: OpenAI, question: Question, { signal }: AskOptions = {}): Promise<Answer> {
  const body = { model: "default", ...question } as OpenAI.ChatCompletionCreateParamsNonStreaming;
  const { choices, usage } = await openai.chat.completions.create(body, { signal });
  const now = performance.now();
  return {
    choices: choices.map(({ message, finish_reason, logprobs }) => ({
      text: message.content ?? "",
      reasoning: reasoningOf(message),
      calls: (message.tool_calls ?? []).flatMap((call) =>
        call.type === "function" ? [{ name: call.function.name, arguments: call.function.arguments }] : [],
      ),
      finishReason: finish_reason,
      tokens: logprobs?.content ?? [],
    })),
    usage: usage ?? null,
    firstTextAt: now,
    endedAt: now,
  };
}

/** OpenAI's client knows no such field. */
const reasoningOf = (part: { reasoning_content?: string | null } | object): string =>
  ("reasoning_content" in part && part.reasoning_content) || "";

export const say = (content: string): Question["messages"] => [{ role: "user", content }];

/** A request that certainly makes this many tokens. */
export const lengthy = (tokens: number, seed = 1): Question => ({
  messages: say("Tell me a story."),
  temperature: 0.8,
  seed,
  max_tokens: tokens,
  ignore_eos: true,
});

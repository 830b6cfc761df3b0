/** The library's friendly request: everything optional but the prompt. */
import type { ChatMessage, ChatTemplateOptions, GenerationRequest, ModelInfo, SamplingParams } from "./request.ts";

interface CommonOptions extends Partial<Omit<GenerationRequest, "promptTokens" | "sampling">>, Partial<SamplingParams> {
  signal?: AbortSignal;
}

/** `prompt`: text or token ids. `messages`: a conversation for the chat template. */
export type GenerateOptions = CommonOptions &
  (
    | ({ messages: readonly ChatMessage[]; prompt?: undefined } & ChatTemplateOptions)
    | { prompt: string | readonly number[]; messages?: undefined }
  );

/** Fills in what the caller left out: the model's own sampling, no penalties, no limits. */
export function completeRequest(
  promptTokens: GenerationRequest["promptTokens"],
  options: CommonOptions,
  { defaultSampling }: Pick<ModelInfo, "defaultSampling">,
): GenerationRequest {
  return {
    promptTokens,
    adapter: options.adapter ?? null,
    maxTokens: options.maxTokens ?? null,
    stop: options.stop ?? [],
    stopTokenIds: options.stopTokenIds ?? [],
    ignoreEos: options.ignoreEos ?? false,
    minTokens: options.minTokens ?? 0,
    logprobs: options.logprobs ?? null,
    keepSpecialTokens: options.keepSpecialTokens ?? [],
    background: options.background ?? false,
    grammar: options.grammar ?? null,
    ...(options.cacheSalt !== undefined && { cacheSalt: options.cacheSalt }),
    sampling: {
      temperature: options.temperature ?? defaultSampling.temperature,
      topP: options.topP ?? defaultSampling.topP,
      topK: options.topK ?? defaultSampling.topK,
      minP: options.minP ?? defaultSampling.minP,
      repetitionPenalty: options.repetitionPenalty ?? defaultSampling.repetitionPenalty,
      repetitionContextSize: options.repetitionContextSize ?? null,
      presencePenalty: options.presencePenalty ?? 0,
      presenceContextSize: options.presenceContextSize ?? null,
      frequencyPenalty: options.frequencyPenalty ?? 0,
      frequencyContextSize: options.frequencyContextSize ?? null,
      typicalP: options.typicalP ?? 1,
      topNSigma: options.topNSigma ?? 0,
      xtc: options.xtc ?? null,
      dry: options.dry ?? null,
      logitBias: options.logitBias ?? new Map(),
      seed: options.seed ?? null,
    },
  };
}

import type * as v from "valibot";
import type { CompiledGrammar, DryParams, GenerationRequest, ModelInfo, SamplingParams, XtcParams } from "../engine/request.ts";
import { InvalidRequest } from "../errors.ts";
import type { samplingEntries } from "./fields.ts";

/** What texts are usually divided by. */
const DRY_BREAKERS = ["\n", ":", '"', "*"];

export type SamplingBody = v.InferOutput<v.ObjectSchema<typeof samplingEntries, undefined>>;

/** What differs between chat and plain completions once the prompt is tokens. */
export interface PromptParts {
  promptTokens: number[];
  adapter: string | null;
  maxTokens: number | null;
  logprobs: number | null;
  grammar?: CompiledGrammar | null;
}

/** One generation request per choice. With a seed each choice gets its own, or all of them would be equal. */
export function toGenerationRequests(body: SamplingBody, parts: PromptParts, model: ModelInfo): GenerationRequest[] {
  const sampling = toSampling(body, model);
  const stop = typeof body.stop === "string" ? [body.stop] : (body.stop ?? []);
  const request: GenerationRequest = {
    ...parts,
    sampling,
    stop: stop.map((text) => text.toWellFormed()),
    stopTokenIds: body.stop_token_ids ?? [],
    ignoreEos: body.ignore_eos ?? false,
    minTokens: body.min_tokens ?? 0,
    ...(body.cache_salt != null && { cacheSalt: body.cache_salt }),
  };
  return Array.from({ length: body.n ?? 1 }, (_, choice) => {
    if (sampling.seed === null || choice === 0) return request;
    return { ...request, sampling: { ...sampling, seed: sampling.seed + choice } };
  });
}

function toSampling(body: SamplingBody, { defaultSampling, vocabSize }: ModelInfo): SamplingParams {
  return {
    temperature: body.temperature ?? defaultSampling.temperature,
    topP: body.top_p ?? defaultSampling.topP,
    topK: Math.max(0, body.top_k ?? defaultSampling.topK),
    minP: body.min_p ?? defaultSampling.minP,
    repetitionPenalty: body.repetition_penalty ?? defaultSampling.repetitionPenalty,
    repetitionContextSize: body.repetition_context_size ?? null,
    presencePenalty: body.presence_penalty ?? 0,
    presenceContextSize: body.presence_context_size ?? null,
    frequencyPenalty: body.frequency_penalty ?? 0,
    frequencyContextSize: body.frequency_context_size ?? null,
    typicalP: body.typical_p ?? 1,
    topNSigma: Math.max(0, body.top_n_sigma ?? 0),
    xtc: toXtc(body),
    dry: toDry(body),
    logitBias: toLogitBias(body.logit_bias ?? {}, vocabSize),
    seed: body.seed ?? null,
  };
}

function toXtc({ xtc_probability, xtc_threshold }: SamplingBody): XtcParams | null {
  return xtc_probability ? { probability: xtc_probability, threshold: xtc_threshold ?? 0.1 } : null;
}

function toDry(body: SamplingBody): DryParams | null {
  if (!body.dry_multiplier) return null;
  const breakers = body.dry_sequence_breakers ?? DRY_BREAKERS;
  return {
    multiplier: body.dry_multiplier,
    base: body.dry_base ?? 1.75,
    allowedLength: body.dry_allowed_length ?? 2,
    range: body.dry_range ?? 0,
    sequenceBreakers: (typeof breakers === "string" ? [breakers] : breakers).map((text) => text.toWellFormed()),
  };
}

function toLogitBias(entries: Record<string, number>, vocabSize: number): Map<number, number> {
  const bias = new Map<number, number>();
  for (const [key, value] of Object.entries(entries)) {
    if (!/^\d{1,10}$/.test(key) || Number(key) >= vocabSize) {
      const shown = key.slice(0, 40);
      throw new InvalidRequest(
        `Invalid key in 'logit_bias': '${shown}' is not a token id (0 to ${vocabSize - 1}).`,
        "logit_bias",
        "invalid_value",
      );
    }
    bias.set(Number(key), value);
  }
  return bias;
}

/** `stream_options` without `stream` is a mistake that OpenAI answers with 400 as well. */
export function checkStreamOptions(body: SamplingBody): void {
  if (body.stream_options != null && body.stream !== true) {
    throw new InvalidRequest("'stream_options' is only allowed when 'stream' is true.", "stream_options", "invalid_value");
  }
}

/** Refuses a prompt without tokens and one that leaves no room to answer; `param` is where the prompt came from. */
export function checkPromptLength(tokens: number[], maxTokens: number | null, model: ModelInfo, param: string): void {
  if (tokens.length === 0) throw new InvalidRequest(`'${param}' is empty: there is nothing to continue.`, param, "invalid_value");
  const room = model.contextLength - tokens.length;
  if (room < (maxTokens === 0 ? 0 : 1)) {
    throw new InvalidRequest(
      `This model's maximum context length is ${model.contextLength} tokens, but '${param}' has ${tokens.length} tokens. Please shorten it.`,
      param,
      "context_length_exceeded",
    );
  }
}

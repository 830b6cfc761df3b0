import * as v from "valibot";
import { count, FinishReason, flag, model, samplingEntries, Usage, whole } from "../fields.ts";
import { chatOnly, unsupportedSampling } from "../openai-fields.ts";
import { structuredOutputEntries } from "../structured-output.ts";
import { Timings } from "../timings.ts";

export const maxPrompts = 64;

const tokenIds = v.array(v.pipe(v.number(), v.integer(), v.minValue(0)));

export const CompletionRequest = v.pipe(
  v.object({
    prompt: v.pipe(
      v.union([v.string(), v.array(v.string()), tokenIds, v.array(tokenIds)]),
      v.description(`Text or token ids, or up to ${maxPrompts} of either.`),
    ),
    model,
    max_tokens: whole(0, Number.MAX_SAFE_INTEGER, "The most tokens to generate, 16 by default. 0: none."),
    ...unsupportedSampling,
    ...samplingEntries,
    ...structuredOutputEntries,
    logprobs: whole(0, 20, "Return log-probabilities, and this many of the most likely tokens at each position."),
    echo: flag("Put the prompt before the output."),
    best_of: whole(1, Number.MAX_SAFE_INTEGER, "Only 1 or the value of `n`."),
    suffix: v.nullish(
      v.pipe(v.literal("", "filling in before a suffix is not supported."), v.description("Not supported: only empty.")),
    ),
    ...chatOnly,
  }),
  v.description("Unknown fields are ignored; null is the same as leaving a field out."),
);
export type CompletionRequest = v.InferOutput<typeof CompletionRequest>;

export const CompletionLogprobs = v.object({
  tokens: v.array(v.string()),
  token_logprobs: v.array(v.number()),
  top_logprobs: v.nullable(v.array(v.record(v.string(), v.number()))),
  text_offset: v.array(count),
});
export type CompletionLogprobs = v.InferOutput<typeof CompletionLogprobs>;

function completion<F extends v.GenericSchema, U extends v.GenericSchema, T extends v.GenericSchema>(
  finishReason: F,
  usage: U,
  timings: T,
) {
  return v.object({
    id: v.string(),
    object: v.literal("text_completion"),
    created: count,
    model: v.string(),
    system_fingerprint: v.string(),
    choices: v.array(
      v.object({ text: v.string(), index: count, logprobs: v.nullable(CompletionLogprobs), finish_reason: finishReason }),
    ),
    usage,
    timings,
  });
}

export const Completion = completion(FinishReason, Usage, Timings);
export type Completion = v.InferOutput<typeof Completion>;

export const CompletionChunk = v.pipe(
  completion(v.nullable(FinishReason), v.optional(v.nullable(Usage)), v.optional(Timings)),
  v.description("The data of one server-sent event; `[DONE]` comes after the last."),
);

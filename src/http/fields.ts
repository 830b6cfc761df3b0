/** Valibot definitions that several routes share. */
import * as v from "valibot";
import { documentedAs } from "./schema.ts";

export const maxChoices = 16;

function real(min: number, max: number, description: string) {
  return v.nullish(v.pipe(v.number(), v.minValue(min), v.maxValue(max), v.description(description)));
}

export function whole(min: number, max: number, description: string) {
  return v.nullish(v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max), v.description(description)));
}

/** A number in a query string. */
export function wholeQuery(min: number, max: number, description: string) {
  return v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d{1,9}$/, `expected a number from ${min} to ${max}.`),
      v.transform(Number),
      v.minValue(min),
      v.maxValue(max),
      documentedAs({ type: "integer", minimum: min, maximum: max, description }),
    ),
  );
}

export function textQuery(description: string) {
  return v.optional(v.pipe(v.string(), v.description(description)));
}

export function flag(description: string) {
  return v.nullish(v.pipe(v.boolean(), v.description(description)));
}

export function text(description: string) {
  return v.nullish(v.pipe(v.string(), v.description(description)));
}

const breaker = v.pipe(v.string(), v.nonEmpty("a sequence breaker must not be empty."), v.maxLength(100));

/** Samplers that OpenAI does not have, under the names that local servers give them. */
const shapingEntries = {
  typical_p: v.nullish(
    v.pipe(
      v.number(),
      v.gtValue(0),
      v.maxValue(1),
      v.description("Locally typical sampling: the most typical tokens with this probability. 1 keeps all."),
    ),
  ),
  top_n_sigma: real(-1, 100, "Only logits so many standard deviations below the largest. 0 or less keeps all."),
  xtc_probability: real(0, 1, "How often XTC leaves out the likeliest tokens. Default: 0, never."),
  xtc_threshold: real(0, 0.5, "Of the tokens more likely than this XTC keeps the least likely one. Default: 0.1."),
  dry_multiplier: real(0, 100, "Strength of DRY, the penalty for repetitions of several tokens. Default: 0, off."),
  dry_base: real(
    1,
    10,
    "The penalty is dry_multiplier * dry_base ^ (length of the repetition - dry_allowed_length). Default: 1.75.",
  ),
  dry_allowed_length: whole(1, 1000, "Shorter repetitions are not penalised. Default: 2."),
  dry_range: whole(0, Number.MAX_SAFE_INTEGER, "How many of the last tokens DRY looks at. Default: 0, all."),
  dry_sequence_breakers: v.nullish(
    v.pipe(
      v.union([breaker, v.pipe(v.array(breaker), v.maxLength(32, "at most 32 sequence breakers are taken."))]),
      v.description('Texts across which DRY sees no repetition. Default: newline, `:`, `"` and `*`.'),
    ),
  ),
};

const stopString = v.pipe(v.string(), v.nonEmpty("a stop string must not be empty."));

/** Sampling and limits, the same in both completion routes. */
export const samplingEntries = {
  temperature: real(0, 2, "Randomness; 0 always takes the most likely token. Default: the model's."),
  top_p: v.nullish(
    v.pipe(
      v.number(),
      v.gtValue(0),
      v.maxValue(1),
      v.description("Nucleus sampling: the smallest set of tokens with this probability."),
    ),
  ),
  top_k: whole(-1, Number.MAX_SAFE_INTEGER, "Only the k most likely tokens; 0 or -1 keeps all."),
  min_p: real(0, 1, "Only tokens at least this likely, relative to the most likely one."),
  repetition_penalty: v.nullish(
    v.pipe(v.number(), v.gtValue(0), v.maxValue(10), v.description("Above 1 makes tokens of the prompt and output less likely.")),
  ),
  repetition_context_size: whole(
    1,
    Number.MAX_SAFE_INTEGER,
    "How many of the last tokens repetition_penalty looks at. Default: all.",
  ),
  presence_penalty: real(-2, 2, "Subtracted once from the logit of each token that the output has."),
  presence_context_size: whole(
    1,
    Number.MAX_SAFE_INTEGER,
    "presence_penalty looks at so many of the last tokens, those of the prompt included, instead of the output.",
  ),
  frequency_penalty: real(-2, 2, "Subtracted from a token's logit for each time the output has it."),
  frequency_context_size: whole(1, Number.MAX_SAFE_INTEGER, "The same for frequency_penalty."),
  ...shapingEntries,
  logit_bias: v.nullish(
    v.pipe(
      v.record(v.string(), v.pipe(v.number(), v.minValue(-100), v.maxValue(100))),
      v.description("Token id to what is added to its logit."),
    ),
  ),
  seed: v.nullish(
    v.pipe(
      v.number(),
      v.integer(),
      v.minValue(-(2 ** 63)),
      v.maxValue(2 ** 63),
      // JSON numbers of this size are rounded, so that no limit would be exact.
      documentedAs({ type: "integer", description: "Same seed, same request: same output." }),
    ),
  ),
  stop: v.nullish(
    v.pipe(
      v.union([stopString, v.pipe(v.array(stopString), v.maxLength(16, "at most 16 stop strings are taken."))]),
      v.description("One string, or up to 16, that end the output and are not part of it."),
    ),
  ),
  stop_token_ids: v.nullish(
    v.pipe(
      v.array(v.pipe(v.number(), v.integer(), v.minValue(0))),
      v.maxLength(1024),
      v.description("Token ids that end the output."),
    ),
  ),
  ignore_eos: flag("Go on after the model's end token."),
  min_tokens: whole(0, Number.MAX_SAFE_INTEGER, "No end token and no stop string ends the output before this many tokens."),
  n: whole(1, maxChoices, `How many choices to generate, up to ${maxChoices}.`),
  stream: flag("Send the output as server-sent events while it is generated."),
  stream_options: v.nullish(
    v.pipe(
      v.object({
        include_usage: flag("Send one more chunk with the token counts before the end."),
        include_obfuscation: flag("Accepted and not used: chunks are not padded."),
      }),
      v.description("Only with `stream`."),
    ),
  ),
  user: text("Accepted and not used."),
  cache_salt: text("Only requests with the same salt use each other's computed prefixes."),
};

export const model = text(
  "The served model's id, `default`, or nothing; an adapter's name, alone or after the model's, as in `default:name`.",
);
export const maxTokens = whole(0, Number.MAX_SAFE_INTEGER, "The most tokens to generate. 0: none.");

/** A whole number in a response. */
export const count = v.pipe(v.number(), v.integer());

export const Usage = v.pipe(
  v.object({
    prompt_tokens: count,
    completion_tokens: count,
    total_tokens: count,
    prompt_tokens_details: v.object({ cached_tokens: count }),
    completion_tokens_details: v.object({ reasoning_tokens: count }),
  }),
  v.description("Token counts of a request, all its choices together."),
);
export type Usage = v.InferOutput<typeof Usage>;

export const FinishReason = v.picklist(["stop", "length"]);

export const ErrorBody = v.pipe(
  v.object({
    error: v.object({
      message: v.string(),
      type: v.string(),
      param: v.nullable(v.string()),
      code: v.nullable(v.string()),
    }),
  }),
  v.description("What every failed request is answered with."),
);
export type ErrorBody = v.InferOutput<typeof ErrorBody>;

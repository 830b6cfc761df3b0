/**
 * Parameters of OpenAI's, and well-known ones of other servers, that this server has no use for: those that change nothing an answer
 * could show are accepted, the others only with the value that changes nothing. What is not named anywhere is ignored, as OpenAI does.
 */
import * as v from "valibot";
import { flag, text } from "./fields.ts";

/** Only the value that leaves everything as it is; any other is refused with the parameter's name. */
function only<T extends string | number>(value: T, why = "") {
  const shown = JSON.stringify(value);
  const description = `Not supported: only ${shown}, which changes nothing.${why && ` ${why}`}`;
  return v.nullish(v.pipe(v.picklist([value], `only ${shown} is supported.${why && ` ${why}`}`), v.description(description)));
}

/** Nothing but null. */
export function never(message: string) {
  return v.optional(v.pipe(v.null(message), v.description(`Not supported: ${message}`)));
}

function off() {
  const description = "Not supported: only false, which changes nothing.";
  return v.nullish(v.pipe(v.literal(false, "only false is supported."), v.description(description)));
}

function none(message: string) {
  return v.nullish(v.pipe(v.array(v.unknown()), v.maxLength(0, message), v.description(`Not supported: ${message}`)));
}

/** Of vLLM's, SGLang's and llama.cpp's completion routes: what would change an answer, and does not here. */
export const unsupportedSampling = {
  mirostat: only(0),
  use_beam_search: off(),
  length_penalty: only(1),
  no_repeat_ngram_size: only(0, "See `dry_multiplier`."),
  bad_words: none("use `logit_bias`."),
  allowed_token_ids: never("use `logit_bias` or a grammar."),
  include_stop_str_in_output: off(),
  truncate_prompt_tokens: never("a prompt that is too long is refused."),
  prompt_logprobs: never("there are log-probabilities of the output only."),
  grammar: never("use `ebnf`."),
  json_schema: never("use `response_format`, or `text.format` of a response."),
};

/** Of text completions, in a chat. */
export const completionsOnly = {
  prompt: never("use `messages`, or `/v1/completions`."),
  suffix: never("there is no such thing in a chat."),
  echo: off(),
  best_of: only(1, "See `n`."),
};

/** Of chats, in text completions. */
export const chatOnly = {
  messages: never("use `prompt`, or `/v1/chat/completions`."),
  max_completion_tokens: never("use `max_tokens`."),
  top_logprobs: never("`logprobs` is their number here."),
  tools: none("use `/v1/chat/completions`."),
};

/** Of chat completions: what tells OpenAI about a request without a trace in its answer. */
export const acceptedFields = {
  metadata: v.nullish(v.pipe(v.record(v.string(), v.unknown()), v.description("Accepted and not used."))),
  service_tier: text("Accepted and not used: all requests are served alike."),
  store: flag("Accepted and not used: answers are not kept."),
  safety_identifier: text("Accepted and not used."),
  prompt_cache_key: text("Accepted and not used: equal prefixes are found by themselves. See `cache_salt`."),
  prompt_cache_retention: text("Accepted and not used."),
  prediction: v.nullish(v.pipe(v.looseObject({}), v.description("Accepted and not used: it could only make the answer faster."))),
};

/** Of chat completions: what a language model cannot do. */
export const unsupportedChat = {
  modalities: v.nullish(
    v.pipe(v.array(v.picklist(["text"], "only 'text' is supported.")), v.description("Only `text` is supported.")),
  ),
  audio: never("this server makes no audio."),
  web_search_options: never("this server does not search the web."),
  moderation: never("this server does not moderate."),
  functions: never("use 'tools'."),
  function_call: never("use 'tool_choice'."),
};

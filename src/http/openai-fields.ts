/**
 * Parameters of OpenAI's, and well-known ones of other servers, that this server has no use for: those that change nothing an answer
 * could show are accepted, the others only with the value that changes nothing. What is not named anywhere is ignored, as OpenAI does.
 */
import * as v from "valibot";
import { flag, text } from "./fields.ts";

/** Only the values that leave everything as it is; any other is refused with the parameter's name. */
function only(values: readonly (string | number)[], description: string) {
  const shown = values.map((value) => JSON.stringify(value)).join(" or ");
  return v.nullish(v.pipe(v.picklist(values, `only ${shown} is supported.`), v.description(description)));
}

/** Nothing but null. */
export function never(message: string) {
  return v.nullish(v.pipe(v.null(message), v.description(`Not supported: ${message}`)));
}

function off(description: string) {
  return v.nullish(v.pipe(v.literal(false, "only false is supported."), v.description(description)));
}

/** Of samplers that there are not. */
export const unsupportedSampling = {
  mirostat: only([0], "Not supported: only 0, which changes nothing."),
  use_beam_search: off("Not supported."),
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

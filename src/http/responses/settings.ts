import type { ModelInfo } from "../../engine/request.ts";
import type { Response } from "./model.ts";
import type { ResponseRequest } from "./request-model.ts";

/** What a response says of its request: every parameter with the value that was used. */
export type Settings = Omit<
  Response,
  "id" | "object" | "created_at" | "completed_at" | "status" | "error" | "incomplete_details" | "output" | "usage"
>;

export function describeSettings(body: ResponseRequest, model: string, { defaultSampling }: ModelInfo): Settings {
  return {
    background: false,
    model,
    instructions: body.instructions ?? null,
    previous_response_id: body.previous_response_id ?? null,
    tools: (body.tools ?? []).map(({ type, name, description, parameters, strict }) => ({
      type,
      name,
      description: description ?? null,
      parameters: parameters ?? null,
      strict: strict ?? false,
    })),
    tool_choice: body.tool_choice ?? "auto",
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    temperature: body.temperature ?? defaultSampling.temperature,
    top_p: body.top_p ?? defaultSampling.topP,
    presence_penalty: body.presence_penalty ?? 0,
    frequency_penalty: body.frequency_penalty ?? 0,
    top_logprobs: body.top_logprobs ?? 0,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: body.reasoning?.summary ?? null },
    text: {
      format: body.text?.format ?? { type: "text" },
      ...(body.text?.verbosity != null && { verbosity: body.text.verbosity }),
    },
    truncation: body.truncation ?? "disabled",
    store: body.store ?? true,
    metadata: body.metadata ?? {},
    safety_identifier: body.safety_identifier ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    service_tier: "default",
    ...(body.user != null && { user: body.user }),
  };
}

import type { Model, ModelList } from "./model.ts";

/** Whether the client is one of Anthropic's; OpenAI's fields are in the answer all the same. */
export function wantsAnthropicFields(request: Request): boolean {
  return request.headers.has("anthropic-version");
}

export function addModelFields(model: Model): Model {
  const { id, created, context_length: contextLength } = model;
  return {
    ...model,
    type: "model",
    display_name: id,
    created_at: new Date(created * 1000).toISOString(),
    max_input_tokens: contextLength,
    max_tokens: contextLength,
  };
}

export function addListFields(list: ModelList): ModelList {
  const data = list.data.map(addModelFields);
  return { ...list, data, has_more: false, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
}

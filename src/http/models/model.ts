import * as v from "valibot";
import { count } from "../fields.ts";

const ModelDetails = v.object({
  dtype: v.pipe(v.string(), v.description("Type of activations and caches.")),
  parameters: count,
  bits_per_weight: v.number(),
  weight_bytes: v.pipe(count, v.description("In memory.")),
  quantization: v.pipe(
    v.array(v.object({ mode: v.string(), bits: count, group_size: count, share: v.number() })),
    v.description("The ways in which matrices are quantized, with their shares of the parameters; empty for a dense model."),
  ),
  max_context: v.pipe(count, v.description("As much of the context as one sequence has memory for.")),
  kv_bytes_per_token: v.pipe(count, v.description("What every further token of a sequence takes.")),
  state_bytes_per_sequence: v.pipe(count, v.description("What a sequence takes besides: windows and states.")),
  caches: v.array(v.object({ kind: v.string(), count })),
});
export type ModelDetails = v.InferOutput<typeof ModelDetails>;

const forAnthropic = "Only with the header `anthropic-version`.";

export const Model = v.object({
  id: v.string(),
  object: v.literal("model"),
  created: count,
  owned_by: v.string(),
  architecture: v.string(),
  context_length: count,
  capabilities: v.pipe(
    v.object({
      completions: v.boolean(),
      chat: v.boolean(),
      streaming: v.boolean(),
      tools: v.pipe(v.boolean(), v.description("Its chat template shows tools.")),
      structured_output: v.boolean(),
      reasoning: v.pipe(v.boolean(), v.description("Its chat template knows reasoning.")),
      prompt_caching: v.boolean(),
      embeddings: v.boolean(),
      vision: v.boolean(),
    }),
    v.description("What may be asked of it."),
  ),
  details: v.optional(v.pipe(ModelDetails, v.description("Only when a single model is asked for."))),
  parent: v.optional(v.pipe(v.string(), v.description("Of an adapter: the model that it belongs to."))),
  // What Anthropic's clients look for.
  type: v.optional(v.pipe(v.literal("model"), v.description(forAnthropic))),
  display_name: v.optional(v.pipe(v.string(), v.description(forAnthropic))),
  created_at: v.optional(v.pipe(v.string(), v.description(forAnthropic))),
  max_input_tokens: v.optional(v.pipe(count, v.description(forAnthropic))),
  max_tokens: v.optional(v.pipe(count, v.description(forAnthropic))),
});
export type Model = v.InferOutput<typeof Model>;

export const ModelList = v.object({
  object: v.literal("list"),
  data: v.array(Model),
  has_more: v.optional(v.pipe(v.boolean(), v.description(forAnthropic))),
  first_id: v.optional(v.nullable(v.pipe(v.string(), v.description(forAnthropic)))),
  last_id: v.optional(v.nullable(v.pipe(v.string(), v.description(forAnthropic)))),
});
export type ModelList = v.InferOutput<typeof ModelList>;

export const ModelParams = v.object({
  id: v.pipe(
    v.string(),
    v.description("The model's id, or an alias of it. Slashes may be written as they are or as %2F."),
    v.examples(["tiny-chat"]),
  ),
});

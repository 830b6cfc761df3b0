import * as v from "valibot";
import { count } from "../fields.ts";

export const Model = v.object({
  id: v.string(),
  object: v.literal("model"),
  created: count,
  owned_by: v.string(),
  architecture: v.string(),
  context_length: count,
  parent: v.optional(v.pipe(v.string(), v.description("Of an adapter: the model that it belongs to."))),
});
export type Model = v.InferOutput<typeof Model>;

export const ModelList = v.object({ object: v.literal("list"), data: v.array(Model) });
export type ModelList = v.InferOutput<typeof ModelList>;

export const ModelParams = v.object({
  id: v.pipe(
    v.string(),
    v.description("The model's id, or an alias of it. Slashes may be written as they are or as %2F."),
    v.examples(["tiny-chat"]),
  ),
});

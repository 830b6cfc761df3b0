import * as v from "valibot";
import { count, flag, model, text, whole } from "../fields.ts";

export const maxInputs = 2048;

const tokenIds = v.array(v.pipe(v.number(), v.integer(), v.minValue(0)));

export const EmbeddingRequest = v.pipe(
  v.object({
    input: v.pipe(
      v.union([v.string(), v.array(v.string()), tokenIds, v.array(tokenIds)]),
      v.description(
        `Text or token ids, or up to ${maxInputs} of either. The model's special tokens are put around texts; ids are taken as they are.`,
      ),
    ),
    model,
    encoding_format: v.nullish(
      v.pipe(
        v.picklist(["float", "base64"]),
        v.description("`float` for lists of numbers, the default; `base64` for float32 in little-endian bytes."),
      ),
    ),
    dimensions: whole(1, Number.MAX_SAFE_INTEGER, "Only so many of the first numbers, brought to length 1 again. Default: all."),
    truncate: flag("Cut texts that are longer than the model takes at their end. Default: they are refused."),
    user: text("Accepted and not used."),
  }),
  v.description("Unknown fields are ignored; null is the same as leaving a field out."),
);
export type EmbeddingRequest = v.InferOutput<typeof EmbeddingRequest>;

export const EmbeddingList = v.object({
  object: v.literal("list"),
  data: v.array(
    v.object({
      object: v.literal("embedding"),
      index: count,
      embedding: v.pipe(v.union([v.array(v.number()), v.string()]), v.description("As `encoding_format` says.")),
    }),
  ),
  model: v.string(),
  usage: v.object({ prompt_tokens: count, total_tokens: count }),
});
export type EmbeddingList = v.InferOutput<typeof EmbeddingList>;

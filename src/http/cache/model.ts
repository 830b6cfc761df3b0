import * as v from "valibot";

export const ClearedCache = v.object({
  object: v.literal("cache"),
  deleted: v.boolean(),
  bytes: v.pipe(v.number(), v.description("Bytes of memory that were given back.")),
});

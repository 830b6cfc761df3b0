import * as v from "valibot";
import { count, textQuery, wholeQuery } from "../fields.ts";
import { documentedAs } from "../schema.ts";

export const FileObject = v.object({
  id: v.string(),
  object: v.literal("file"),
  bytes: count,
  created_at: count,
  filename: v.string(),
  purpose: v.string(),
  status: v.literal("processed"),
});
export type FileObject = v.InferOutput<typeof FileObject>;

export const FileList = v.object({
  object: v.literal("list"),
  data: v.array(FileObject),
  first_id: v.nullable(v.string()),
  last_id: v.nullable(v.string()),
  has_more: v.boolean(),
});

export const DeletedFile = v.object({ id: v.string(), object: v.literal("file"), deleted: v.boolean() });

export const FileUpload = v.object({
  purpose: v.pipe(v.picklist(["batch", "user_data"]), v.description("What the file is for.")),
  file: v.pipe(
    v.instance(File),
    documentedAs({
      type: "string",
      format: "binary",
      description: "The file itself: for a batch JSON lines, one request each.",
    }),
  ),
});

export const FileQuery = v.object({
  purpose: textQuery("Only files of this purpose."),
  limit: wholeQuery(1, 10_000, "The most files to list. Default: 100."),
  order: v.optional(
    v.pipe(v.picklist(["asc", "desc"]), v.description("By the time of their upload. Default: `desc`, the newest first.")),
  ),
  after: textQuery("Only files that come after the one with this id."),
});

export const FileParams = v.object({ id: v.pipe(v.string(), v.description("The file's id.")) });

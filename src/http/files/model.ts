import * as v from "valibot";
import { count } from "../fields.ts";

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
  file: v.pipe(v.instance(File), v.description("The file itself: for a batch JSON lines, one request each.")),
});

const wholeText = (max: number) =>
  v.optional(v.pipe(v.string(), v.regex(/^\d{1,6}$/), v.transform(Number), v.minValue(1), v.maxValue(max)));

export const FileQuery = v.object({
  purpose: v.optional(v.string()),
  limit: wholeText(10_000),
  order: v.optional(v.picklist(["asc", "desc"])),
  after: v.optional(v.string()),
});

export const FileParams = v.object({ id: v.pipe(v.string(), v.description("The file's id."), v.examples(["file-0"])) });

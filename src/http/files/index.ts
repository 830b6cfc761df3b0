import { Elysia } from "elysia";
import { NotFound } from "../../errors.ts";
import type { FileStore, StoredFile } from "../../storage/file-store.ts";
import { type HttpContext, ownerOf } from "../context.ts";
import { generationFailures } from "../failures.ts";
import { readQuery } from "../query.ts";
import { checked, described, inPath } from "../schema.ts";
import { readForm } from "./form.ts";
import { DeletedFile, FileList, FileObject, FileParams, FileQuery, FileUpload } from "./model.ts";

const { 400: invalid, 401: unauthorized, 404: absent, 413: tooLarge, 500: failed } = generationFailures;
const failures = { 400: invalid, 401: unauthorized, 500: failed };

const toObject = (file: StoredFile): FileObject => ({ ...file, object: "file", status: "processed" });

function find(files: FileStore, owner: string, id: string): StoredFile {
  const file = files.get(owner, id);
  if (file) return file;
  throw new NotFound(`There is no file '${id.slice(0, 80)}'.`, "id");
}

export function fileRoutes(context: HttpContext, files: FileStore) {
  return new Elysia()
    .post(
      "/v1/files",
      async ({ body: { file, purpose }, request }) =>
        toObject(await files.add(ownerOf(context, request), { filename: file.name, purpose }, file.stream())),
      {
        parse: [({ request }) => readForm(request), "formdata"],
        body: checked(FileUpload),
        response: { 200: described(FileObject), 413: tooLarge, ...failures },
        detail: {
          operationId: "createFile",
          tags: ["Batches"],
          summary: "Upload a file",
          description: "At most 200 MiB, kept until it is deleted. A batch takes its requests from it.",
        },
      },
    )
    .get(
      "/v1/files",
      ({ query, request }) => {
        const { limit = 100, purpose = null, after = null, order = "desc" } = query;
        const ascending = order === "asc";
        const found = files.list(ownerOf(context, request), { purpose, after, ascending, limit: limit + 1 });
        const data = found.slice(0, limit).map(toObject);
        const [first_id, last_id] = [data[0]?.id ?? null, data.at(-1)?.id ?? null];
        return { object: "list" as const, data, first_id, last_id, has_more: found.length > limit };
      },
      {
        transform: readQuery,
        query: checked(FileQuery),
        response: { 200: described(FileList), ...failures },
        detail: {
          operationId: "listFiles",
          tags: ["Batches"],
          summary: "List files",
          description: "Those of the API key, where keys are configured.",
        },
      },
    )
    .get("/v1/files/:id", ({ params, request }) => toObject(find(files, ownerOf(context, request), params.id)), {
      params: inPath(FileParams),
      response: { 200: described(FileObject), 404: absent, ...failures },
      detail: {
        operationId: "retrieveFile",
        tags: ["Batches"],
        summary: "Describe a file",
        description: "By the id that its upload was answered with.",
      },
    })
    .get(
      "/v1/files/:id/content",
      ({ params, request }) => {
        const { id, bytes } = find(files, ownerOf(context, request), params.id);
        const parts = files.read(id);
        const stream = new ReadableStream({
          pull(controller) {
            const { value, done } = parts.next();
            if (done) controller.close();
            else controller.enqueue(value);
          },
        });
        return new Response(stream, { headers: { "content-type": "application/octet-stream", "content-length": String(bytes) } });
      },
      {
        params: inPath(FileParams),
        response: { 404: absent, ...failures },
        detail: {
          operationId: "downloadFile",
          tags: ["Batches"],
          summary: "Read a file",
          description: "The bytes as they were uploaded, or the answers of a batch as JSON lines.",
        },
      },
    )
    .delete(
      "/v1/files/:id",
      ({ params, request }) => {
        const { id } = find(files, ownerOf(context, request), params.id);
        return { id, object: "file" as const, deleted: files.delete(ownerOf(context, request), id) };
      },
      {
        params: inPath(FileParams),
        response: { 200: described(DeletedFile), 404: absent, ...failures },
        detail: {
          operationId: "deleteFile",
          tags: ["Batches"],
          summary: "Delete a file",
          description: "A batch that has begun does not need its input any more.",
        },
      },
    );
}

import { Elysia } from "elysia";
import { InvalidRequest, NotFound } from "../../errors.ts";
import type { Batch, BatchStore } from "../../storage/batch-store.ts";
import { type FileStore, now } from "../../storage/file-store.ts";
import { readJsonObject } from "../body.ts";
import { type HttpContext, ownerOf } from "../context.ts";
import { generationFailures } from "../failures.ts";
import { readQuery } from "../query.ts";
import { checked, described, inPath } from "../schema.ts";
import { BatchList, type BatchObject, BatchParams, BatchQuery, BatchRequest, BatchObject as BatchSchema } from "./model.ts";

const { 400: invalid, 401: unauthorized, 404: absent, 413: tooLarge, 500: failed } = generationFailures;
const failures = { 400: invalid, 401: unauthorized, 500: failed };
const DAY = 86_400;

/** What the routes need besides the context. */
export interface BatchParts {
  batches: BatchStore;
  files: FileStore;
  /** Tells the runner that there is something to do. */
  wake: () => void;
}

export function batchRoutes(context: HttpContext, { batches, files, wake }: BatchParts) {
  const toObject = ({ errors, ...batch }: Batch): BatchObject => ({
    ...batch,
    object: "batch",
    errors: errors.length > 0 ? { object: "list", data: errors } : null,
    request_counts: batches.counts(batch.id),
  });
  const find = (request: Request, id: string): Batch => {
    const batch = batches.get(ownerOf(context, request), id);
    if (batch) return batch;
    throw new NotFound(`There is no batch '${id.slice(0, 80)}'.`, "id");
  };

  return new Elysia()
    .post(
      "/v1/batches",
      ({ body, request }) => {
        const owner = ownerOf(context, request);
        const file = files.get(owner, body.input_file_id);
        if (file?.purpose !== "batch") {
          throw new InvalidRequest("'input_file_id' names no file of purpose 'batch'.", "input_file_id", "invalid_value");
        }
        const batch = createBatch(body);
        batches.add(owner, batch);
        wake();
        return toObject(batch);
      },
      {
        parse: [({ request }) => readJsonObject(request, context.options.maxBodyBytes), "json"],
        body: checked(BatchRequest),
        response: { 200: described(BatchSchema), 413: tooLarge, ...failures },
        detail: {
          operationId: "createBatch",
          tags: ["Batches"],
          summary: "Run a file of requests",
          description: "They run behind all other requests, and survive a restart of the server.",
        },
      },
    )
    .get(
      "/v1/batches",
      ({ query: { limit = 20, after = null }, request }) => {
        const found = batches.list(ownerOf(context, request), { limit: limit + 1, after });
        const data = found.slice(0, limit).map(toObject);
        const [first_id, last_id] = [data[0]?.id ?? null, data.at(-1)?.id ?? null];
        return { object: "list" as const, data, first_id, last_id, has_more: found.length > limit };
      },
      {
        transform: readQuery,
        query: checked(BatchQuery),
        response: { 200: described(BatchList), ...failures },
        detail: {
          operationId: "listBatches",
          tags: ["Batches"],
          summary: "List batches",
          description: "The newest first; those of the API key, where keys are configured.",
        },
      },
    )
    .get("/v1/batches/:id", ({ params, request }) => toObject(find(request, params.id)), {
      params: inPath(BatchParams),
      response: { 200: described(BatchSchema), 404: absent, ...failures },
      detail: {
        operationId: "retrieveBatch",
        tags: ["Batches"],
        summary: "Describe a batch",
        description: "Its state, how many of its requests are done, and the files with their answers.",
      },
    })
    .post(
      "/v1/batches/:id/cancel",
      ({ params, request }) => {
        const { id, status } = find(request, params.id);
        if (status === "validating" || status === "in_progress") {
          batches.update(id, { status: "cancelling", cancelling_at: now() });
          wake();
        } else if (status !== "cancelling" && status !== "cancelled") {
          throw new InvalidRequest(`The batch is ${status}: it cannot be cancelled any more.`, "id", "invalid_value");
        }
        return toObject(find(request, params.id));
      },
      {
        params: inPath(BatchParams),
        response: { 200: described(BatchSchema), 404: absent, ...failures },
        detail: {
          operationId: "cancelBatch",
          tags: ["Batches"],
          summary: "Stop a batch",
          description: "Its running requests are ended; answers that there are already are kept.",
        },
      },
    );
}

function createBatch({ input_file_id, endpoint, completion_window, metadata }: BatchRequest): Batch {
  const created_at = now();
  return {
    id: `batch_${crypto.randomUUID().replaceAll("-", "")}`,
    endpoint,
    input_file_id,
    completion_window,
    status: "validating",
    output_file_id: null,
    error_file_id: null,
    errors: [],
    created_at,
    in_progress_at: null,
    expires_at: created_at + DAY,
    finalizing_at: null,
    completed_at: null,
    failed_at: null,
    expired_at: null,
    cancelling_at: null,
    cancelled_at: null,
    metadata: metadata ?? null,
  };
}

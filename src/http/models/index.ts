import { Elysia } from "elysia";
import type { HttpContext } from "../context.ts";
import { ErrorBody } from "../fields.ts";
import { commonFailures } from "../failures.ts";
import { described } from "../schema.ts";
import { Model, ModelList, ModelParams } from "./model.ts";
import { findModel, listModels, modelNameOf } from "./service.ts";

export function modelRoutes(context: HttpContext) {
  return (
    new Elysia()
      .get("/v1/models", () => ({ object: "list" as const, data: listModels(context) }), {
        response: { 200: described(ModelList), ...commonFailures },
        detail: { operationId: "listModels", tags: ["Models"], summary: "List the served model and its adapters" },
      })
      .get("/v1/models/:id", ({ request }) => findModel(context, modelNameOf(request.url)), {
        params: described(ModelParams),
        response: { 200: described(Model), 404: described(ErrorBody), ...commonFailures },
        detail: { operationId: "retrieveModel", tags: ["Models"], summary: "Describe a model" },
      })
      // The same for ids whose slashes are not encoded.
      .get("/v1/models/*", ({ request }) => findModel(context, modelNameOf(request.url)), { detail: { hide: true } })
  );
}

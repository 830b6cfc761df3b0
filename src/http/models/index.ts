import { Elysia } from "elysia";
import type { HttpContext } from "../context.ts";
import { commonFailures } from "../failures.ts";
import { ErrorBody } from "../fields.ts";
import { described, inPath } from "../schema.ts";
import { addListFields, addModelFields, wantsAnthropicFields } from "./anthropic.ts";
import { Model, ModelList, ModelParams } from "./model.ts";
import { findModel, listModels, modelNameOf } from "./service.ts";

export function modelRoutes(context: HttpContext) {
  const list = (request: Request): ModelList => {
    const models: ModelList = { object: "list", data: listModels(context) };
    return wantsAnthropicFields(request) ? addListFields(models) : models;
  };
  const find = (request: Request): Model => {
    const model = findModel(context, modelNameOf(request.url));
    return wantsAnthropicFields(request) ? addModelFields(model) : model;
  };
  return (
    new Elysia()
      .get("/v1/models", ({ request }) => list(request), {
        response: { 200: described(ModelList), ...commonFailures },
        detail: {
          operationId: "listModels",
          tags: ["Models"],
          summary: "List the served model and its adapters",
          description: "The model first, with what it can do.",
        },
      })
      .get("/v1/models/:id", ({ request }) => find(request), {
        params: inPath(ModelParams),
        response: { 200: described(Model), 404: described(ErrorBody), ...commonFailures },
        detail: {
          operationId: "retrieveModel",
          tags: ["Models"],
          summary: "Describe a model",
          description: "The model itself also with its size, its quantization and the memory that a sequence takes.",
        },
      })
      // The same for ids whose slashes are not encoded.
      .get("/v1/models/*", ({ request }) => find(request), { detail: { hide: true } })
  );
}

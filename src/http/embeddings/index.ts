import { Elysia } from "elysia";
import { readJsonObject } from "../body.ts";
import type { HttpContext } from "../context.ts";
import { generationFailures } from "../failures.ts";
import { checked, described } from "../schema.ts";
import { EmbeddingList, EmbeddingRequest } from "./model.ts";
import { embedInputs } from "./service.ts";

export function embeddingRoutes(context: HttpContext) {
  return new Elysia().post(
    "/v1/embeddings",
    async ({ body, request: { signal } }): Promise<Response> => {
      const json = await embedInputs(context, body, signal);
      return new Response(json, { headers: { "content-type": "application/json" } });
    },
    {
      // "json" is never reached: it tells the documentation which content type the body has.
      parse: [({ request }) => readJsonObject(request, context.options.maxBodyBytes), "json"],
      body: checked(EmbeddingRequest),
      response: { 200: described(EmbeddingList), ...generationFailures },
      detail: {
        operationId: "createEmbedding",
        tags: ["Embeddings"],
        summary: "Make vectors of texts",
        description: "One vector for each text, for search and comparison. Only where the served model makes embeddings.",
      },
    },
  );
}

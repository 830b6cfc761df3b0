import { Elysia } from "elysia";
import { readJsonObject } from "../body.ts";
import type { HttpContext } from "../context.ts";
import { generationFailures } from "../failures.ts";
import { checked, described } from "../schema.ts";
import {
  ApplyTemplateRequest,
  ApplyTemplateResponse,
  DetokenizeRequest,
  DetokenizeResponse,
  TokenizeRequest,
  TokenizeResponse,
} from "./model.ts";
import { applyTemplate, detokenizeIds, tokenizeText } from "./service.ts";

const { 429: _, ...failures } = generationFailures;

/** In the shapes of llama.cpp's server and of vLLM at once. */
export function tokenizeRoutes(context: HttpContext) {
  // "json" is never reached: it tells the documentation which content type the body has.
  const parse = [({ request }: { request: Request }) => readJsonObject(request, context.options.maxBodyBytes), "json"] as const;
  return new Elysia()
    .post("/tokenize", ({ body }) => tokenizeText(context, body), {
      parse: [...parse],
      body: checked(TokenizeRequest),
      response: { 200: described(TokenizeResponse), ...failures },
      detail: {
        operationId: "tokenize",
        tags: ["Tokens"],
        summary: "Turn a text or a conversation into tokens",
        description: "Takes the requests of llama.cpp's server (`content`) and of vLLM (`prompt`, `messages`).",
      },
    })
    .post("/detokenize", ({ body }) => detokenizeIds(context, body), {
      parse: [...parse],
      body: checked(DetokenizeRequest),
      response: { 200: described(DetokenizeResponse), ...failures },
      detail: {
        operationId: "detokenize",
        tags: ["Tokens"],
        summary: "Turn tokens into a text",
        description: "Broken UTF-8 becomes U+FFFD.",
      },
    })
    .post("/apply-template", async ({ body }) => ({ prompt: await applyTemplate(context, body) }), {
      parse: [...parse],
      body: checked(ApplyTemplateRequest),
      response: { 200: described(ApplyTemplateResponse), ...failures },
      detail: {
        operationId: "applyTemplate",
        tags: ["Tokens"],
        summary: "Render the chat template",
        description: "The prompt that a chat completion with these messages and tools would have.",
      },
    });
}

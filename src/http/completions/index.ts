import { Elysia } from "elysia";
import { readJsonObject } from "../body.ts";
import { forCaller, type HttpContext } from "../context.ts";
import { generationFailures } from "../failures.ts";
import { checked, described } from "../schema.ts";
import { streamEvents } from "../sse.ts";
import { Completion, CompletionRequest } from "./model.ts";
import { completeText, startCompletion } from "./service.ts";
import { streamCompletion } from "./stream.ts";

export function completionRoutes(context: HttpContext) {
  return new Elysia().post(
    "/v1/completions",
    async ({ body, request }): Promise<Response> => {
      const { signal } = request;
      const job = await startCompletion(forCaller(context, request), body, signal);
      return body.stream ? streamEvents(job, streamCompletion(job), signal) : Response.json(await completeText(job));
    },
    {
      // "json" is never reached: it tells the documentation which content type the body has.
      parse: [({ request }) => readJsonObject(request, context.options.maxBodyBytes), "json"],
      body: checked(CompletionRequest),
      response: { 200: described(Completion), ...generationFailures },
      detail: {
        operationId: "createCompletion",
        tags: ["Completions"],
        summary: "Continue a text",
        description: "Generates what follows one or several prompts; with `stream`, as server-sent events.",
      },
    },
  );
}

import { Elysia } from "elysia";
import { readJsonObject } from "../body.ts";
import { forCaller, type HttpContext } from "../context.ts";
import { generationFailures } from "../failures.ts";
import { checked, described } from "../schema.ts";
import { streamEvents } from "../sse.ts";
import { ChatCompletion, ChatCompletionRequest } from "./model.ts";
import { completeChat, startChat } from "./service.ts";
import { streamChat } from "./stream.ts";

export function chatRoutes(context: HttpContext) {
  return new Elysia().post(
    "/v1/chat/completions",
    async ({ body, request }): Promise<Response> => {
      const { signal } = request;
      const job = await startChat(forCaller(context, request), body, signal);
      return body.stream ? streamEvents(job, streamChat(job), signal) : Response.json(await completeChat(job));
    },
    {
      // "json" is never reached: it tells the documentation which content type the body has.
      parse: [({ request }) => readJsonObject(request, context.options.maxBodyBytes), "json"],
      body: checked(ChatCompletionRequest),
      response: { 200: described(ChatCompletion), ...generationFailures },
      detail: {
        operationId: "createChatCompletion",
        tags: ["Chat"],
        summary: "Answer a conversation",
        description: "Renders the model's chat template and generates the next turn; with `stream`, as server-sent events.",
      },
    },
  );
}

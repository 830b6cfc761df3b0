import { Elysia } from "elysia";
import { readJsonObject } from "../body.ts";
import { forCaller, type HttpContext } from "../context.ts";
import { checked, described } from "../schema.ts";
import { streamEvents } from "../sse.ts";
import { completeMessage } from "./answer.ts";
import { countingFailures, createStreamStyle, messageFailures } from "./errors.ts";
import { AnswerMessage, TokenCount } from "./model.ts";
import { CountTokensRequest, MessagesRequest } from "./request-model.ts";
import { countTokens, startMessage } from "./service.ts";
import { streamMessage } from "./stream.ts";

export function messageRoutes(context: HttpContext) {
  const { maxBodyBytes } = context.options;
  return new Elysia()
    .post(
      "/v1/messages",
      async ({ body, request, set }): Promise<Response> => {
        const { signal } = request;
        const job = await startMessage(forCaller(context, request), body, signal);
        if (!body.stream) return Response.json(await completeMessage(job));
        return streamEvents(job, streamMessage(job), signal, createStreamStyle(String(set.headers["request-id"])));
      },
      {
        // "json" is never reached: it tells the documentation which content type the body has.
        parse: [({ request }) => readJsonObject(request, maxBodyBytes), "json"],
        body: checked(MessagesRequest),
        response: { 200: described(AnswerMessage), ...messageFailures },
        detail: {
          operationId: "createMessage",
          tags: ["Messages"],
          summary: "Answer a conversation, as Anthropic's API does",
          description:
            "The same as chat completions, in the shapes of Anthropic's API: for Claude Code and Anthropic's SDKs. With `stream`, named server-sent events.",
        },
      },
    )
    .post("/v1/messages/count_tokens", ({ body, request }) => countTokens(forCaller(context, request), body), {
      parse: [({ request }) => readJsonObject(request, maxBodyBytes), "json"],
      body: checked(CountTokensRequest),
      response: { 200: described(TokenCount), ...countingFailures },
      detail: {
        operationId: "countMessageTokens",
        tags: ["Messages"],
        summary: "Count the tokens of a prompt",
        description: "With the chat template, system prompt and tools, as a request would be counted.",
      },
    });
}

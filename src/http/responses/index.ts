import { Elysia } from "elysia";
import { InvalidRequest, NotFound } from "../../errors.ts";
import { readJsonObject } from "../body.ts";
import { forCaller, type HttpContext, ownerOf } from "../context.ts";
import { commonFailures, generationFailures } from "../failures.ts";
import { chooseModel } from "../models/service.ts";
import { readQuery } from "../query.ts";
import { checked, described, inPath } from "../schema.ts";
import { streamEvents } from "../sse.ts";
import { compactConversation } from "./compact.ts";
import { readInput } from "./input.ts";
import {
  CompactedResponse,
  DeletedResponse,
  InputTokens,
  ItemList,
  ItemQuery,
  Response as ResponseModel,
  ResponseParams,
  RetrieveQuery,
} from "./model.ts";
import { listPage } from "./pages.ts";
import { buildPrompt } from "./prompt.ts";
import { CompactRequest, InputTokensRequest, ResponseRequest } from "./request-model.ts";
import { completeResponse, type ResponseContext, startResponse } from "./service.ts";
import { listItems, ResponseStore, type StoredResponse } from "./store.ts";
import { streamResponse } from "./stream.ts";
import { readTools } from "./tools.ts";

const { 400: invalid, 404: absent } = generationFailures;
const findFailures = { 404: absent, ...commonFailures } as const;

export function responseRoutes(context: HttpContext, store = new ResponseStore()) {
  const callerOf = (request: Request): ResponseContext => ({
    context: forCaller(context, request),
    store,
    owner: ownerOf(context, request),
  });
  const find = (request: Request, id: string): StoredResponse => {
    const found = store.get(ownerOf(context, request), id);
    if (found) return found;
    throw new NotFound(`Response with id '${id.slice(0, 80)}' not found.`, "id");
  };
  // "json" is never reached: it tells the documentation which content type the body has.
  const parse = [({ request }: { request: Request }) => readJsonObject(request, context.options.maxBodyBytes), "json"] as const;

  return new Elysia()
    .post(
      "/v1/responses",
      async ({ body, request }): Promise<Response> => {
        const { signal } = request;
        const job = await startResponse(callerOf(request), body, signal);
        return body.stream ? streamEvents(job, streamResponse(job), signal) : Response.json(await completeResponse(job));
      },
      {
        parse: [...parse],
        body: checked(ResponseRequest),
        response: { 200: described(ResponseModel), ...generationFailures },
        detail: {
          operationId: "createResponse",
          tags: ["Responses"],
          summary: "Answer a conversation of items",
          description:
            "OpenAI's Responses API (Open Responses). With `store`, the default, the response is kept in memory, where later ones " +
            "may go on from it by `previous_response_id`; the longest unused go first. With `stream`, as server-sent events.",
        },
      },
    )
    .post(
      "/v1/responses/input_tokens",
      async ({ body, request }) => {
        const { context: own, owner } = callerOf(request);
        chooseModel(own, body.model);
        const { previous, items } = readInput(store, owner, body);
        const prompt = await buildPrompt(own, body, [...listItems(previous), ...items], readTools(body), null);
        return { object: "response.input_tokens" as const, input_tokens: prompt.tokens.length };
      },
      {
        parse: [...parse],
        body: checked(InputTokensRequest),
        response: { 200: described(InputTokens), ...generationFailures },
        detail: {
          operationId: "countInputTokens",
          tags: ["Responses"],
          summary: "Count the tokens of a response's input",
          description: "As many as a response to the same request would say that its input has.",
        },
      },
    )
    .post("/v1/responses/compact", async ({ body, request }) => compactConversation(callerOf(request), body, request.signal), {
      parse: [...parse],
      body: checked(CompactRequest),
      response: { 200: described(CompactedResponse), ...generationFailures },
      detail: {
        operationId: "compactResponse",
        tags: ["Responses"],
        summary: "Summarise a conversation",
        description: "The model writes a summary; its item, given back as input, takes the place of the conversation.",
      },
    })
    .get("/v1/responses/:id", ({ params, request }) => find(request, params.id).response, {
      params: inPath(ResponseParams),
      transform: readQuery,
      query: checked(RetrieveQuery),
      response: { 200: described(ResponseModel), 400: invalid, ...findFailures },
      detail: {
        operationId: "retrieveResponse",
        tags: ["Responses"],
        summary: "A stored response",
        description: "As it was answered; with API keys, each sees its own.",
      },
    })
    .delete(
      "/v1/responses/:id",
      ({ params, request }) => {
        const { response } = find(request, params.id);
        store.delete(ownerOf(context, request), response.id);
        return { id: response.id, object: "response" as const, deleted: true as const };
      },
      {
        params: inPath(ResponseParams),
        response: { 200: described(DeletedResponse), ...findFailures },
        detail: {
          operationId: "deleteResponse",
          tags: ["Responses"],
          summary: "Forget a stored response",
          description: "Responses that go on from it keep what it said.",
        },
      },
    )
    .get(
      "/v1/responses/:id/input_items",
      ({ params, query, request }) => {
        const { turn } = find(request, params.id);
        return listPage([...listItems(turn.previous), ...turn.input], query);
      },
      {
        params: inPath(ResponseParams),
        transform: readQuery,
        query: checked(ItemQuery),
        response: { 200: described(ItemList), 400: invalid, ...findFailures },
        detail: {
          operationId: "listInputItems",
          tags: ["Responses"],
          summary: "What a stored response answered to",
          description: "The items of the responses that it goes on from come first.",
        },
      },
    )
    .post(
      "/v1/responses/:id/cancel",
      ({ params, request }) => {
        find(request, params.id);
        throw new InvalidRequest("Only responses in the background can be cancelled: close the connection instead.", "id");
      },
      {
        params: inPath(ResponseParams),
        response: { 400: invalid, ...findFailures },
        detail: {
          operationId: "cancelResponse",
          tags: ["Responses"],
          summary: "Always refused",
          description: "Nothing runs in the background; a response is cancelled by closing its connection.",
        },
      },
    );
}

import { nullToOpenApi, toOpenAPISchema } from "@elysiajs/openapi/openapi";
import { type ConversionConfig, toJsonSchema, toJsonSchemaDefs } from "@valibot/to-json-schema";
import { type AnyElysia, Elysia } from "elysia";
import { isGuarded } from "./access.ts";
import { BatchList, BatchObject, BatchRequest } from "./batches/model.ts";
import { ClearedCache } from "./cache/model.ts";
import { ChatCompletion, ChatCompletionChunk, ChatCompletionRequest, ChatLogprobs, Message } from "./chat/model.ts";
import { Completion, CompletionChunk, CompletionLogprobs, CompletionRequest } from "./completions/model.ts";
import type { HttpContext } from "./context.ts";
import { EmbeddingList, EmbeddingRequest } from "./embeddings/model.ts";
import { requestExamples } from "./examples.ts";
import { ErrorBody, Usage } from "./fields.ts";
import { DeletedFile, FileList, FileObject } from "./files/model.ts";
import { Health } from "./health/model.ts";
import { AnswerMessage, AnthropicError, ContentBlock, MessageStreamEvent, MessageUsage, TokenCount } from "./messages/model.ts";
import { CountTokensRequest, InputMessage, InputTool, MessagesRequest } from "./messages/request-model.ts";
import { Model, ModelList } from "./models/model.ts";
import { ResponseEvent } from "./responses/events.ts";
import {
  Compaction,
  FunctionCall,
  FunctionCallOutput,
  InputMessage as InputMessageItem,
  OutputMessage,
  Reasoning,
} from "./responses/items.ts";
import {
  CompactedResponse,
  DeletedResponse,
  InputTokens,
  ItemList,
  Response as ResponseObject,
  ResponseUsage,
} from "./responses/model.ts";
import { CompactRequest, InputTokensRequest, ResponseRequest } from "./responses/request-model.ts";
import { readDocumented, sourceOf, vendor } from "./schema.ts";
import {
  ApplyTemplateRequest,
  ApplyTemplateResponse,
  DetokenizeRequest,
  DetokenizeResponse,
  TokenizeRequest,
  TokenizeResponse,
} from "./tokenize/model.ts";

const openapi = "3.1.1";

/** Schemas with a name of their own in the document; everywhere else they are references. */
const definitions = {
  ChatCompletionRequest,
  Message,
  ChatCompletion,
  ChatCompletionChunk,
  ChatLogprobs,
  CompletionRequest,
  Completion,
  CompletionChunk,
  CompletionLogprobs,
  EmbeddingRequest,
  EmbeddingList,
  TokenizeRequest,
  TokenizeResponse,
  DetokenizeRequest,
  DetokenizeResponse,
  ApplyTemplateRequest,
  ApplyTemplateResponse,
  MessagesRequest,
  CountTokensRequest,
  InputMessage,
  InputTool,
  AnswerMessage,
  MessageStreamEvent,
  MessageUsage,
  AnswerBlock: ContentBlock,
  TokenCount,
  AnthropicErrorResponse: AnthropicError,
  ResponseRequest,
  InputTokensRequest,
  CompactRequest,
  Response: ResponseObject,
  ResponseEvent,
  ResponseUsage,
  InputMessageItem,
  OutputMessage,
  FunctionCall,
  FunctionCallOutput,
  Reasoning,
  Compaction,
  CompactedResponse,
  DeletedResponse,
  ItemList,
  InputTokens,
  FileObject,
  FileList,
  DeletedFile,
  BatchRequest,
  BatchObject,
  BatchList,
  Model,
  ModelList,
  ClearedCache,
  Health,
  Usage,
  ErrorResponse: ErrorBody,
};

const conversion: ConversionConfig = {
  target: "draft-2020-12",
  errorMode: "ignore",
  definitions,
  overrideAction: ({ valibotAction, jsonSchema }) => readDocumented(valibotAction) ?? jsonSchema,
  overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
};

/** What the events of a stream have as data; errors of Responses and Messages are events of their own. */
const streamedSchemas: Record<string, { data: readonly string[]; endsWithDone: boolean }> = {
  createChatCompletion: { data: ["ChatCompletionChunk", "ErrorResponse"], endsWithDone: true },
  createCompletion: { data: ["CompletionChunk", "ErrorResponse"], endsWithDone: true },
  createResponse: { data: ["ResponseEvent"], endsWithDone: true },
  createMessage: { data: ["MessageStreamEvent"], endsWithDone: false },
};

const statusTexts: Record<string, string> = {
  200: "Success.",
  400: "Something in the request cannot be honoured; `param` names it.",
  401: "No API key, or a wrong one.",
  404: "There is nothing of this name or id.",
  413: "The request body is too large.",
  429: "The queue is full: try again after the seconds in `Retry-After`.",
  500: "The engine failed.",
  503: "The server is not ready, or no longer.",
  529: "The server is not ready, or no longer.",
};

interface Content {
  schema: object;
  examples?: object;
}

interface Operation {
  operationId: string;
  security?: object[];
  parameters?: { schema: { description?: string; examples?: unknown[] }; description?: string; example?: unknown }[];
  requestBody?: { description?: string; required: boolean; content: Record<string, Content> };
  responses: Record<string, { description: string; headers?: object; content: Record<string, Content> }>;
}

/** The OpenAPI document of the routes that `app` has; their schemas come from the valibot definitions. */
export function describeApi(app: AnyElysia, version: string) {
  // The generator has no say on documents of 3.1 beyond schemas, so paths are taken from it and completed here.
  const { paths } = toOpenAPISchema(app, {}, undefined, { [vendor]: toSchema }, openapi);
  for (const [path, methods] of Object.entries(paths)) {
    for (const operation of Object.values(methods ?? {}) as Operation[]) completeOperation(operation, isGuarded(path));
  }
  return {
    openapi,
    info: {
      title: "mlx-cb-serve",
      version,
      description: "Language models on MLX with continuous batching, behind OpenAI's API.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    tags: [
      { name: "Chat", description: "Conversations." },
      { name: "Responses", description: "Conversations of items, kept by the server." },
      { name: "Completions", description: "Plain text." },
      { name: "Messages", description: "Conversations in the shapes of Anthropic's API." },
      { name: "Batches", description: "Files of requests that are worked off behind all others." },
      { name: "Embeddings", description: "Vectors of texts." },
      { name: "Tokens", description: "Texts and token ids, and what the chat template makes of a conversation." },
      { name: "Models", description: "What is served." },
      { name: "Health", description: "How the server does." },
    ],
    paths,
    components: {
      schemas: nameSchemas(),
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "Only where the server was started with API keys." },
      },
    },
  };
}

/** Serves the document; it is made at the first request, when all routes are known. */
export function openapiRoutes({ options }: HttpContext, describedApp: () => AnyElysia) {
  let body: string | null = null;
  return new Elysia().get(
    "/openapi.json",
    () => {
      body ??= JSON.stringify(describeApi(describedApp(), options.version));
      return new Response(body, { headers: { "content-type": "application/json" } });
    },
    { detail: { hide: true } },
  );
}

function nameSchemas(): Record<string, object> {
  const schemas = Object.entries(toJsonSchemaDefs(definitions, conversion));
  return Object.fromEntries(schemas.map(([name, schema]) => [name, allowNull(nullToOpenApi(schema, openapi))]));
}

/** What makes `["string", "null"]` of a type forgets the enumeration beside it. */
function allowNull<T>(node: T): T {
  if (typeof node !== "object" || node === null) return node;
  const schema = node as { type?: unknown; enum?: unknown };
  const isNullable = Array.isArray(schema.type) && schema.type.includes("null");
  // The list itself may be valibot's own.
  if (isNullable && Array.isArray(schema.enum) && !schema.enum.includes(null)) schema.enum = [...schema.enum, null];
  for (const child of Object.values(node)) allowNull(child);
  return node;
}

function toSchema(wrapped: object): object {
  const source = sourceOf(wrapped);
  if (source === undefined) return {};
  const { $schema: _, $defs: __, ...schema } = toJsonSchema(source, conversion);
  return schema;
}

function completeOperation(operation: Operation, guarded: boolean): void {
  // The empty requirement makes the key optional: without configured keys none is asked for.
  if (guarded) operation.security = [{ bearer: [] }, {}];
  for (const parameter of operation.parameters ?? []) {
    parameter.description = parameter.schema.description;
    delete parameter.schema.description;
    parameter.example = parameter.schema.examples?.[0];
    delete parameter.schema.examples;
  }
  const body = operation.requestBody;
  if (body !== undefined) {
    delete body.description;
    const examples = requestExamples[operation.operationId];
    for (const content of Object.values(body.content)) if (examples !== undefined) content.examples = examples;
  }
  for (const [status, response] of Object.entries(operation.responses)) {
    response.description = statusTexts[status] ?? "";
    if (status === "429") response.headers = { "Retry-After": { description: "Seconds to wait.", schema: { type: "integer" } } };
  }
  // No schema says "any bytes" to the generator.
  if (operation.operationId === "downloadFile") {
    const content = { "application/octet-stream": { schema: { type: "string", format: "binary" } } };
    operation.responses[200] = { description: "The bytes of the file.", content };
  }
  const streamed = streamedSchemas[operation.operationId];
  const success = operation.responses[200];
  if (streamed !== undefined && success !== undefined) {
    success.content["text/event-stream"] = { schema: describeEvent(streamed.data, streamed.endsWithDone) };
  }
}

/** One event of a stream, as OpenAPI 3.2 describes them. */
function describeEvent(names: readonly string[], endsWithDone: boolean): object {
  const kinds = names.map((name) => ({
    type: "string",
    contentMediaType: "application/json",
    contentSchema: { $ref: `#/components/schemas/${name}` },
  }));
  const data = { anyOf: [...kinds, ...(endsWithDone ? [{ const: "[DONE]" }] : [])] };
  return { type: "object", properties: { event: { type: "string" }, data }, required: ["data"] };
}

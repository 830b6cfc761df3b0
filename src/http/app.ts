import { type AnyElysia, Elysia } from "elysia";
import type { InferenceServer } from "../engine/request.ts";
import { InvalidRequest, NotFound, ServeError } from "../errors.ts";
import { answerPreflight, corsHeaders, createKeyCheck, isGuarded, requestIdOf } from "./access.ts";
import { batchRoutes } from "./batches/index.ts";
import { cacheRoutes } from "./cache/index.ts";
import { chatRoutes } from "./chat/index.ts";
import { completionRoutes } from "./completions/index.ts";
import { type AppOptions, createContext, isBackground } from "./context.ts";
import { embeddingRoutes } from "./embeddings/index.ts";
import { describeError, type ErrorReply, isExpected, toErrorReply, toMethodReply } from "./errors.ts";
import { fileRoutes } from "./files/index.ts";
import { healthRoutes } from "./health/index.ts";
import { speaksAnthropic, toAnthropicReply } from "./messages/errors.ts";
import { messageRoutes } from "./messages/index.ts";
import { modelRoutes } from "./models/index.ts";
import { openapiRoutes } from "./openapi.ts";
import { responseRoutes } from "./responses/index.ts";
import { lengthenHost } from "./short-host.ts";
import { Storage } from "./storage.ts";
import { swaggerRoutes } from "./swagger.ts";
import { tokenizeRoutes } from "./tokenize/index.ts";

export type { AppOptions, LogLine } from "./context.ts";
export type App = ReturnType<typeof createApp>;

/** The HTTP side of a server as an Elysia app, typed for Eden. It does not listen. */
export function createApp(server: InferenceServer, options: AppOptions = {}) {
  const context = createContext(server, options);
  const { log } = context.options;
  const storage = options.storage ?? Storage.open(null);
  const checkKey = createKeyCheck(context.options.apiKeys);
  // The app itself, for handlers that look at its routes; untyped, or its type would depend on itself.
  let self: AnyElysia = new Elysia();

  const app = new Elysia()
    .wrap(lengthenHost)
    .onRequest(({ request, set }) => {
      Object.assign(set.headers, corsHeaders);
      set.headers["x-request-id"] = requestIdOf(request);
      // The name that Anthropic's clients look for.
      if (speaksAnthropic(request)) set.headers["request-id"] = set.headers["x-request-id"];
      if (request.method === "OPTIONS") return answerPreflight(request);
      if (isGuarded(pathOf(request)) && !isBackground(request)) checkKey(request);
      return undefined;
    })
    .onError(({ error, code, request, set }) => {
      // Nobody is there to read it, and what failed is only that.
      if (request.signal.aborted) return new Response(null, { status: 499 });
      const cause = code === "PARSE" ? parseCause(error) : error;
      const requestId = String(set.headers["x-request-id"]);
      const reply = code === "NOT_FOUND" ? replyToUnknownRoute(self, request) : toErrorReply(cause);
      if (reply.status >= 500) {
        const level = isExpected(cause) ? "warn" : "error";
        log({
          level,
          message: "request failed",
          requestId,
          path: pathOf(request),
          error: describeError(cause),
        });
      }
      const { status, body, headers } = speaksAnthropic(request) ? toAnthropicReply(reply, requestId) : reply;
      return Response.json(body, { status, headers });
    })
    .use(chatRoutes(context))
    .use(responseRoutes(context))
    .use(completionRoutes(context))
    .use(messageRoutes(context))
    .use(embeddingRoutes(context))
    .use(tokenizeRoutes(context))
    .use(modelRoutes(context))
    .use(cacheRoutes(context))
    .use(fileRoutes(context, storage.files))
    .use(batchRoutes(context, { files: storage.files, batches: storage.batches, wake: () => storage.wake() }))
    .use(healthRoutes(context))
    .use(openapiRoutes(context, () => self))
    .use(swaggerRoutes());

  self = app;
  storage.begin(
    async (request) => app.handle(request),
    () => server.status === "ok",
    log,
  );
  return app;
}

function replyToUnknownRoute(app: AnyElysia, request: Request): ErrorReply {
  const path = pathOf(request);
  const allowed = new Set(app.routes.filter((route) => matches(route.path, path)).map((route) => route.method));
  if (allowed.size > 0) return toMethodReply(request.method, path, [...allowed]);
  const message = `Unknown request URL: ${request.method} ${path.slice(0, 200)}. /swagger lists what there is.`;
  return toErrorReply(new NotFound(message, null, "unknown_url"));
}

/** Elysia wraps what a parser throws. */
function parseCause(error: Error): unknown {
  if (error.cause instanceof ServeError) return error.cause;
  return new InvalidRequest("The request body could not be read.");
}

function pathOf(request: Request): string {
  return new URL(request.url).pathname;
}

function matches(route: string, path: string): boolean {
  if (route.endsWith("/*")) return path.startsWith(route.slice(0, -1));
  const parts = path.replace(/\/$/, "").split("/");
  const expected = route.split("/");
  return parts.length === expected.length && expected.every((part, i) => part === parts[i] || (part.startsWith(":") && parts[i]));
}

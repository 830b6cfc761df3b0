/** The one place that turns errors into OpenAI's error object and status codes. */
import { type ErrorKind, InvalidRequest, NotFound, Overloaded, ServeError } from "../errors.ts";
import type { ErrorBody } from "./fields.ts";

export interface ErrorReply {
  status: number;
  body: ErrorBody;
  headers: Record<string, string>;
}

interface Mapping {
  status: number;
  type: string;
  code: string | null;
}

const mappings: Record<ErrorKind, Mapping> = {
  invalid_request: { status: 400, type: "invalid_request_error", code: null },
  unauthorized: { status: 401, type: "invalid_request_error", code: "invalid_api_key" },
  not_found: { status: 404, type: "invalid_request_error", code: null },
  payload_too_large: { status: 413, type: "invalid_request_error", code: "request_too_large" },
  overloaded: { status: 429, type: "rate_limit_error", code: "queue_full" },
  engine_failure: { status: 500, type: "server_error", code: "engine_failure" },
  unavailable: { status: 503, type: "server_error", code: "unavailable" },
  startup: { status: 500, type: "server_error", code: null },
};

/** Whether the error is one whose message is meant for the client. */
export function isExpected(error: unknown): error is ServeError {
  return error instanceof ServeError;
}

/** Status, headers and body for any error; what is not a `ServeError` says nothing of its cause to the client. */
export function toErrorReply(error: unknown): ErrorReply {
  if (!isExpected(error)) {
    const message =
      "The server had an error while processing your request. Its log has the cause under this request's x-request-id.";
    return { status: 500, headers: {}, body: { error: { message, type: "server_error", param: null, code: null } } };
  }
  const { status, type, code } = mappings[error.kind];
  const named = error instanceof InvalidRequest || error instanceof NotFound ? error : null;
  const headers: Record<string, string> = {};
  if (error instanceof Overloaded) headers["retry-after"] = String(Math.max(1, Math.ceil(error.retryAfterSeconds)));
  if (error.kind === "unauthorized") headers["www-authenticate"] = "Bearer";
  return {
    status,
    headers,
    body: { error: { message: error.message, type, param: named?.param ?? null, code: named?.code ?? code } },
  };
}

/** A known path with a method it does not take. */
export function toMethodReply(method: string, path: string, allowed: readonly string[]): ErrorReply {
  const message = `${method} is not allowed on ${path}: use ${allowed.join(" or ")}.`;
  return {
    status: 405,
    headers: { allow: [...allowed, "OPTIONS"].join(", ") },
    body: { error: { message, type: "invalid_request_error", param: null, code: "method_not_allowed" } },
  };
}

/** What the log keeps of an error, its causes included. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const detail = isExpected(error) ? `${error.name}: ${error.message}` : (error.stack ?? String(error));
  return error.cause === undefined ? detail : `${detail}\ncaused by ${describeError(error.cause)}`;
}

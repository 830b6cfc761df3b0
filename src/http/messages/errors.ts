/** Anthropic's error object and status codes in place of OpenAI's. */
import { type ErrorReply, toErrorReply } from "../errors.ts";
import { described } from "../schema.ts";
import type { StreamStyle } from "../sse.ts";
import { AnthropicError } from "./model.ts";
import { frameEvent } from "./stream.ts";

export interface AnthropicReply {
  status: number;
  body: AnthropicError;
  headers: Record<string, string>;
}

/** Status of ours to status and type of Anthropic's. */
const mappings: Readonly<Record<number, [status: number, type: string]>> = {
  400: [400, "invalid_request_error"],
  401: [401, "authentication_error"],
  404: [404, "not_found_error"],
  405: [405, "invalid_request_error"],
  413: [413, "request_too_large"],
  429: [429, "rate_limit_error"],
  503: [529, "overloaded_error"],
};

const tooLong = "prompt is too long: ";

/** Whether a request is made as to Anthropic's server, so that its failure is answered as there. */
export function speaksAnthropic(request: Request): boolean {
  const { pathname } = new URL(request.url);
  if (isBelow(pathname, "/v1/messages")) return true;
  return isBelow(pathname, "/v1/models") && request.headers.has("anthropic-version");
}

export function toAnthropicReply({ status, body: { error }, headers }: ErrorReply, requestId: string | null): AnthropicReply {
  const [mapped, type] = mappings[status] ?? [500, "api_error"];
  // Clients know by these words that a conversation has to be shortened.
  const isTooLong = error.code === "context_length_exceeded" && !error.message.startsWith(tooLong);
  const message = isTooLong ? tooLong + error.message : error.message;
  return { status: mapped, headers, body: { type: "error", error: { type, message }, request_id: requestId } };
}

/** How streams of messages bridge a silence and end where they fail. */
export function createStreamStyle(requestId: string | null): StreamStyle {
  return {
    keepAlive: frameEvent({ type: "ping" }),
    frameError: (error) => frameEvent(toAnthropicReply(toErrorReply(error), requestId).body),
  };
}

function isBelow(path: string, root: string): boolean {
  return path === root || path.startsWith(`${root}/`);
}

const failure = described(AnthropicError);

/** Failures of both routes, and those of the one that generates. */
export const countingFailures = { 400: failure, 401: failure, 404: failure, 413: failure, 500: failure, 529: failure } as const;
export const messageFailures = { ...countingFailures, 429: failure } as const;

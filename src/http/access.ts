import { createHash, timingSafeEqual } from "node:crypto";
import { Unauthorized } from "../errors.ts";

/** Browser clients may call from any page; keys travel in headers, never in cookies. */
export const corsHeaders: Readonly<Record<string, string>> = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "x-request-id, request-id, retry-after",
};

/** The answer to a browser's question before the real request. */
export function answerPreflight(request: Request): Response {
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
      "access-control-allow-headers":
        request.headers.get("access-control-request-headers") ?? "authorization, content-type, x-api-key",
      "access-control-max-age": "86400",
      vary: "access-control-request-headers",
    },
  });
}

/** The client's own id where it is a sane one, else a new one. */
export function requestIdOf(request: Request): string {
  const given = request.headers.get("x-request-id");
  return given !== null && /^[\w.:@+/=-]{1,128}$/.test(given) ? given : `req_${crypto.randomUUID().replaceAll("-", "")}`;
}

const guarded = /^\/(v1\/|(tokenize|detokenize|apply-template)\/?$)/;

/** Whether a path uses the model, which takes a key where keys are configured. */
export function isGuarded(path: string): boolean {
  return guarded.test(path);
}

/** Throws `Unauthorized` unless the request carries one of the keys; with no keys configured everybody may pass. */
export function createKeyCheck(keys: readonly string[]): (request: Request) => void {
  const digests = keys.map(digest);
  return (request) => {
    if (digests.length === 0) return;
    const given = keyOf(request);
    if (given === null)
      throw new Unauthorized("You did not provide an API key: send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.");
    const wanted = digest(given);
    // Every key is compared, and digests have one length: the time taken says nothing about the keys.
    const matches = digests.filter((known) => timingSafeEqual(known, wanted)).length;
    if (matches === 0) throw new Unauthorized("Incorrect API key provided.");
  };
}

/** Stands for the request's API key where the key itself must not be. */
export function digestKey(request: Request): string {
  return digest(keyOf(request) ?? "").toString("hex");
}

function keyOf(request: Request): string | null {
  const bearer = /^Bearer\s+(.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  return bearer?.trim() ?? request.headers.get("x-api-key");
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

import type { AnyElysia } from "elysia";

type Wrapper = Parameters<AnyElysia["wrap"]>[0];

/** Elysia looks for the path behind at least this many characters, so it misses it where the host has three letters or fewer. */
const pathSearchStart = 11;

/**
 * Gives requests with a very short host (`http://llm/…`), or with one that makes no URL (Bun passes the bare path then), one
 * of ordinary length, for the router only.
 */
export const lengthenHost: Wrapper = (handle) => (request: Request) => {
  const { url } = request;
  const pathStart = url.startsWith("/") ? 0 : url.indexOf("/", "https://".length);
  if (pathStart === -1 || (pathStart >= pathSearchStart && URL.canParse(url))) return handle(request);
  return handle(new Request(`http://localhost${url.slice(pathStart)}`, request));
};

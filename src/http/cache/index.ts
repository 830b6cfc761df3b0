import { Elysia } from "elysia";
import type { HttpContext } from "../context.ts";
import { commonFailures } from "../failures.ts";
import { described } from "../schema.ts";
import { ClearedCache } from "./model.ts";

export function cacheRoutes({ server }: HttpContext) {
  return new Elysia().delete(
    "/v1/cache",
    async () => ({ object: "cache" as const, deleted: true, bytes: await server.clearPrefixCache() }),
    {
      response: { 200: described(ClearedCache), ...commonFailures },
      detail: {
        operationId: "clearCache",
        tags: ["Models"],
        summary: "Forget all computed prefixes",
        description: "Drops what the prefix cache holds, in memory and on disk. Running requests go on undisturbed.",
      },
    },
  );
}

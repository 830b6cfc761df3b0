import { Elysia } from "elysia";
import type { HttpContext } from "../context.ts";
import { described } from "../schema.ts";
import { Health } from "./model.ts";
import { readHealth } from "./service.ts";

export function healthRoutes({ server }: HttpContext) {
  return new Elysia().get(
    "/health",
    ({ status }) => {
      const health = readHealth(server);
      return health.status === "ok" ? health : status(503, health);
    },
    {
      response: { 200: described(Health), 503: described(Health) },
      detail: {
        operationId: "getHealth",
        tags: ["Health"],
        summary: "State of the server and its batch",
        description: "What runs and waits, throughput and memory; status 503 unless it is `ok`.",
      },
    },
  );
}

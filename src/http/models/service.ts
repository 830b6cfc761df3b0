import type { ModelInfo } from "../../engine/request.ts";
import { NotFound } from "../../errors.ts";
import type { HttpContext } from "../context.ts";
import type { Model } from "./model.ts";

/** Throws `NotFound`, naming what is served, unless the name is absent, empty or one of the served model's. */
export function checkModel({ server, options }: HttpContext, name: string | null | undefined): void {
  if (!name || options.acceptAnyModel || isServed(server.model, name)) return;
  throw unknownModel(server.model, name);
}

/** The served model under its id or an alias. Throws `NotFound`. */
export function findModel({ server }: HttpContext, name: string): Model {
  if (!isServed(server.model, name)) throw unknownModel(server.model, name);
  return toModel(server.model);
}

export function toModel({ id, created, architecture, contextLength }: ModelInfo): Model {
  return { id, object: "model", created, owned_by: "mlx-cb-serve", architecture, context_length: contextLength };
}

/** The id in `/v1/models/…`, which may have slashes, raw or percent-encoded. */
export function modelNameOf(url: string): string {
  const raw = new URL(url).pathname.slice("/v1/models/".length);
  try {
    return decodeURIComponent(raw);
  } catch {
    return raw;
  }
}

function isServed(model: ModelInfo, name: string): boolean {
  return name === model.id || model.aliases.includes(name);
}

function unknownModel({ id, aliases }: ModelInfo, name: string): NotFound {
  const others = aliases.filter((alias) => alias !== id).map((alias) => `'${alias}'`);
  const also = others.length > 0 ? ` (also as ${others.join(", ")})` : "";
  return new NotFound(
    `The model '${name.slice(0, 200)}' does not exist: this server serves '${id}'${also}.`,
    "model",
    "model_not_found",
  );
}

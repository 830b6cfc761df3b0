import type { ModelInfo, ModelSummary } from "../../engine/request.ts";
import { NotFound } from "../../errors.ts";
import type { HttpContext } from "../context.ts";
import { listCapabilities } from "./capabilities.ts";
import type { Model, ModelDetails } from "./model.ts";

/** What a request is answered by. */
export interface ModelChoice {
  /** The response's `model`. */
  model: string;
  adapter: string | null;
}

/** Takes an absent or empty name for the model itself. Throws `NotFound`, naming what is served, for one that is not. */
export function chooseModel({ server, options }: HttpContext, name: string | null | undefined): ModelChoice {
  const found = name ? find(server.model, name) : { model: server.model.id, adapter: null };
  if (found) return found;
  if (options.acceptAnyModel) return { model: server.model.id, adapter: null };
  throw unknownModel(server.model, name!);
}

/** The served model or an adapter, by any of its names. Throws `NotFound`. */
export function findModel(context: HttpContext, name: string): Model {
  const { server } = context;
  const found = find(server.model, name);
  if (!found) throw unknownModel(server.model, name);
  const { summary } = server.model;
  const details = summary && found.adapter === null && { details: toDetails(summary) };
  return { ...toModel(context, found), ...details };
}

/** What a model is made of and takes, in the API's words. */
export function toDetails(summary: ModelSummary): ModelDetails {
  return {
    dtype: summary.dtype,
    parameters: summary.parameters,
    bits_per_weight: summary.bitsPerWeight,
    weight_bytes: summary.weightBytes,
    quantization: summary.quantization.map(({ mode, bits, groupSize, share }) => ({ mode, bits, group_size: groupSize, share })),
    max_context: summary.maxContext,
    kv_bytes_per_token: summary.kvBytesPerToken,
    state_bytes_per_sequence: summary.stateBytesPerSequence,
    caches: [...summary.caches],
  };
}

/** The model comes first. */
export function listModels(context: HttpContext): Model[] {
  const { model } = context.server;
  const choices = [{ model: model.id, adapter: null }, ...model.adapters.map((adapter) => ({ model: adapter, adapter }))];
  return choices.map((choice) => toModel(context, choice));
}

function toModel(context: HttpContext, choice: ModelChoice): Model {
  const { id, created, architecture, contextLength } = context.server.model;
  return {
    id: choice.model,
    object: "model",
    created,
    owned_by: "mlx-cb-serve",
    architecture,
    context_length: contextLength,
    // Embeddings are made without adapters.
    capabilities: { ...listCapabilities(context), ...(choice.adapter !== null && { embeddings: false }) },
    ...(choice.adapter !== null && { parent: id }),
  };
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

/** An adapter goes by its name, alone or as `base:name`. */
function find(model: ModelInfo, name: string): ModelChoice | null {
  const isBase = (text: string) => text === model.id || model.aliases.includes(text);
  if (isBase(name)) return { model: model.id, adapter: null };
  // An id may have colons, an adapter's name cannot.
  const colon = name.lastIndexOf(":");
  const adapter = name.slice(colon + 1);
  if (!model.adapters.includes(adapter) || (colon >= 0 && !isBase(name.slice(0, colon)))) return null;
  return { model: adapter, adapter };
}

function unknownModel({ id, aliases, adapters }: ModelInfo, name: string): NotFound {
  const quote = (names: readonly string[]) => names.map((other) => `'${other}'`).join(", ");
  const others = aliases.filter((alias) => alias !== id);
  const also = others.length > 0 ? ` (also as ${quote(others)})` : "";
  const adapted = adapters.length > 0 ? ` with the adapters ${quote(adapters)}` : "";
  return new NotFound(
    `The model '${name.slice(0, 200)}' does not exist: this server serves '${id}'${also}${adapted}.`,
    "model",
    "model_not_found",
  );
}

import { InvalidRequest } from "../../errors.ts";
import { macrotask } from "../../macrotask.ts";
import type { HttpContext } from "../context.ts";
import { chooseModel } from "../models/service.ts";
import { type EmbeddingRequest, maxInputs } from "./model.ts";

/** Work on the event loop between two turns for others. */
const maxBlockMilliseconds = 5;

/** The answer as JSON text. Everything that can be refused is refused before a vector is computed. */
export async function embedInputs(context: HttpContext, body: EmbeddingRequest, signal: AbortSignal): Promise<string> {
  const { server } = context;
  const { model, adapter } = chooseModel(context, body.model);
  const { embedding } = server.model;
  if (!embedding) {
    const message = `The model '${server.model.id}' makes no embeddings: it says nothing of pooling.`;
    throw new InvalidRequest(message, "model", "model_not_supported");
  }
  if (adapter !== null) throw new InvalidRequest("Embeddings are made without adapters.", "model", "model_not_supported");
  const dimensions = body.dimensions ?? embedding.dimensions;
  if (dimensions > embedding.dimensions) {
    const message = `'dimensions' is ${dimensions}, but the model's vectors have ${embedding.dimensions}.`;
    throw new InvalidRequest(message, "dimensions", "invalid_value");
  }
  const texts = await readInputs(context, body, embedding.maxTokens);
  const vectors = await server.embed(texts, signal);
  const tokens = texts.reduce((sum, { length }) => sum + length, 0);
  return writeAnswer(vectors, { model, tokens, dimensions, base64: body.encoding_format === "base64" });
}

async function readInputs(
  { server }: HttpContext,
  { input, truncate }: EmbeddingRequest,
  maxTokens: number,
): Promise<number[][]> {
  const isMany = Array.isArray(input) && typeof input[0] !== "number";
  const items = isMany ? (input as (string | number[])[]) : [input as string | number[]];
  const refuse = (message: string, index: number) =>
    new InvalidRequest(message, isMany && items.length > 0 ? `input.${index}` : "input", "invalid_value");
  if (items.length === 0) throw refuse("'input' is empty: there is nothing to embed.", 0);
  if (items.length > maxInputs)
    throw new InvalidRequest(`'input' has ${items.length} texts; at most ${maxInputs} are taken.`, "input", "invalid_value");
  const texts: number[][] = [];
  for (const [index, item] of items.entries()) {
    if (item.length === 0) throw refuse("'input' cannot be an empty text.", index);
    texts.push(await toTokens(item));
    const length = texts[index]!.length;
    if (length === 0) throw refuse("'input' has a text without a token.", index);
    if (length > maxTokens) {
      const message = `This model's maximum context length is ${maxTokens} tokens, but a text of 'input' has ${length} tokens. Please shorten it, or set 'truncate'.`;
      throw new InvalidRequest(message, isMany ? `input.${index}` : "input", "context_length_exceeded");
    }
  }
  return texts;

  async function toTokens(item: string | number[]): Promise<number[]> {
    if (typeof item !== "string") return truncate ? item.slice(0, maxTokens) : item;
    return server.encode(item.toWellFormed(), { addSpecialTokens: true, ...(truncate && { truncateTo: maxTokens }) });
  }
}

interface Answer {
  model: string;
  tokens: number;
  dimensions: number;
  base64: boolean;
}

/** In pieces, as thousands of vectors are megabytes of digits. */
async function writeAnswer(vectors: readonly Float32Array[], { model, tokens, dimensions, base64 }: Answer): Promise<string> {
  const parts: string[] = [];
  let begun = performance.now();
  for (const [index, vector] of vectors.entries()) {
    const shown = dimensions < vector.length ? shorten(vector, dimensions) : vector;
    const embedding = base64 ? `"${toBase64(shown)}"` : `[${shown.join(",")}]`;
    parts.push(`{"object":"embedding","index":${index},"embedding":${embedding}}`);
    if (performance.now() - begun < maxBlockMilliseconds) continue;
    await macrotask();
    begun = performance.now();
  }
  const usage = JSON.stringify({ prompt_tokens: tokens, total_tokens: tokens });
  return `{"object":"list","data":[${parts.join(",")}],"model":${JSON.stringify(model)},"usage":${usage}}`;
}

/** The first numbers, brought to length 1 again, as Matryoshka embeddings are used. */
function shorten(vector: Float32Array, dimensions: number): Float32Array {
  const first = vector.slice(0, dimensions);
  const length = Math.hypot(...first);
  return length > 0 ? first.map((value) => value / length) : first;
}

/** float32, little-endian: every platform that this runs on has that order. */
function toBase64(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString("base64");
}

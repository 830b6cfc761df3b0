import type { InferenceServer } from "../../engine/request.ts";
import { InvalidRequest } from "../../errors.ts";
import { type CompletionRequest, maxPrompts } from "./model.ts";

export interface Prompt {
  tokens: number[];
  /** What `echo` gives back. */
  text: () => string;
}

/** Every prompt of the request as tokens. */
export async function readPrompts(server: InferenceServer, prompt: CompletionRequest["prompt"]): Promise<Prompt[]> {
  const items =
    Array.isArray(prompt) && typeof prompt[0] !== "number" ? (prompt as (string | number[])[]) : [prompt as string | number[]];
  if (items.length === 0) throw new InvalidRequest("'prompt' is empty: there is nothing to continue.", "prompt", "invalid_value");
  if (items.length > maxPrompts) {
    throw new InvalidRequest(`'prompt' has ${items.length} prompts; at most ${maxPrompts} are taken.`, "prompt", "invalid_value");
  }
  return Promise.all(items.map((item) => (typeof item === "string" ? fromText(server, item) : fromIds(server, item))));
}

async function fromText(server: InferenceServer, text: string): Promise<Prompt> {
  const wellFormed = text.toWellFormed();
  return { tokens: await server.encode(wellFormed, { addSpecialTokens: true }), text: () => wellFormed };
}

function fromIds(server: InferenceServer, ids: number[]): Prompt {
  const { vocabSize } = server.model;
  const wrong = ids.find((id) => id >= vocabSize);
  if (wrong !== undefined) {
    throw new InvalidRequest(
      `'prompt' has ${wrong}, which is not a token id (0 to ${vocabSize - 1}).`,
      "prompt",
      "invalid_value",
    );
  }
  return { tokens: ids, text: () => server.decode(ids) };
}

import { StartupError } from "../errors.ts";
import type { Target } from "./stream.ts";

/** Finds the server at `url`; without a model's name the first that it lists. Throws `StartupError`. */
export async function findTarget(url: string, model: string | null, apiKey: string | null): Promise<Target> {
  // An OpenAI client's base URL ends with /v1; the paths here begin with it.
  const base = new URL(url.replace(/\/+$/, "").replace(/\/v1$/, ""));
  if (model !== null) return { url: base, model, apiKey };
  const address = `${base.href.replace(/\/+$/, "")}/v1/models`;
  const listed = await ask(address, apiKey);
  const first = isRecord(listed) && Array.isArray(listed.data) ? (listed.data[0] as unknown) : null;
  if (isRecord(first) && typeof first.id === "string") return { url: base, model: first.id, apiKey };
  throw new StartupError(`${address} lists no model: name one with --model.`);
}

async function ask(address: string, apiKey: string | null): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(address, { headers: apiKey === null ? {} : { authorization: `Bearer ${apiKey}` } });
  } catch (error) {
    throw new StartupError(`Nothing answers at ${address}: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!response.ok)
    throw new StartupError(`${address} answers ${response.status}: name a model with --model, a key with --api-key.`);
  return response.json().catch(() => null);
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

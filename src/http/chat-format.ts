import type { ChatFormat } from "../chat/format.ts";
import { chooseFormat, listFormatTokens } from "../chat/registry.ts";
import type { InferenceServer } from "../engine/request.ts";
import type { HttpContext } from "./context.ts";

/** How the served model writes its answers. */
export interface ServedFormat {
  readonly syntax: ChatFormat;
  /** Tokens that end an output, besides the model's own list of them. */
  readonly endTokenIds: readonly number[];
}

const found = new WeakMap<HttpContext["options"], Promise<ServedFormat>>();

/** Found once, when the first request comes: the model may be loaded after the app was made. */
export function findFormat({ server, options }: HttpContext): Promise<ServedFormat> {
  const known = found.get(options);
  if (known) return known;
  const { toolParser, reasoningParser } = options;
  const format = resolve(server, chooseFormat({ template: server.model.chatTemplate ?? null, toolParser, reasoningParser }));
  found.set(options, format);
  // Asked again by the next request.
  format.catch(() => found.delete(options));
  return format;
}

async function resolve(server: InferenceServer, syntax: ChatFormat): Promise<ServedFormat> {
  const { ends } = listFormatTokens(syntax);
  const ids = await Promise.all(ends.map((token) => server.encode(token, { addSpecialTokens: false })));
  // What the vocabulary lacks is made of several tokens.
  return { syntax, endTokenIds: ids.flatMap((tokens) => (tokens.length === 1 ? tokens : [])) };
}

import type { InferenceServer, TokenLogprob } from "../engine/request.ts";

const strict = new TextDecoder("utf-8", { fatal: true });
const lossy = new TextDecoder();

/** JSON has no infinity; this is what OpenAI writes for it. */
export function clampLogprob(logprob: number | undefined): number {
  return logprob === undefined || !(logprob > -9999) ? -9999 : logprob;
}

/** A token's text and bytes; where it is only a part of a character, the text has U+FFFD. */
export function showToken(server: InferenceServer, id: number): { token: string; bytes: number[] } {
  const bytes = server.tokenBytes(id);
  return { token: lossy.decode(bytes), bytes: [...bytes] };
}

/** A token's text that tells different tokens apart: parts of a character are written as `bytes:\xe2\x80`. */
export function nameToken(server: InferenceServer, { id }: Pick<TokenLogprob, "id">): string {
  const bytes = server.tokenBytes(id);
  try {
    return strict.decode(bytes);
  } catch {
    return `bytes:${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
  }
}

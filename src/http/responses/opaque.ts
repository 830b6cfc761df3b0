/**
 * Text for clients to give back unread, as reasoning and summaries are. It is no secret, as the client may have it in the clear
 * as well, so it is only encoded; it holds on any server and after a restart.
 */
const prefix = "mlx1.";

export function encodeOpaque(text: string): string {
  return prefix + Buffer.from(text).toString("base64url");
}

/** Null: it does not come from a server like this. */
export function decodeOpaque(content: string): string | null {
  return content.startsWith(prefix) ? Buffer.from(content.slice(prefix.length), "base64url").toString() : null;
}

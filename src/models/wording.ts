/** Names and numbers of untrusted files, made fit for a one-line message. */

const LONGEST = 120;

/** In double quotes, control characters escaped, cut when long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text);
}

/** Somebody else's message as part of ours: one line, cut when long. */
export function oneLine(text: string): string {
  return text
    .slice(0, 200)
    .replace(/\p{Cc}+/gu, " ")
    .trim();
}

/** Any JSON value (and NaN, which published files have) as a short word for a message. */
export function describeValue(value: unknown): string {
  if (value === undefined) return "absent";
  if (value === null || typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value === "string") return quote(value);
  return Array.isArray(value) ? `a list of ${value.length}` : "an object";
}

/** `a, b, c and 4 more` */
export function listSome(items: readonly string[], most = 5): string {
  const shown = items.slice(0, most).join(", ");
  return items.length > most ? `${shown} and ${items.length - most} more` : shown;
}

export function countOf(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

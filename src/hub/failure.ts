/** What can go wrong between the hub and the disk, and the one sentence that says so. */
import { ServeError, StartupError } from "../errors.ts";

/** The hub answered with an error status. */
export class HubRefusal extends Error {
  override readonly name = "HubRefusal";
  readonly status: number;
  /** The hub's own word, e.g. `GatedRepo`. */
  readonly code: string | null;
  readonly retryAfterMs: number | null;

  constructor(status: number, code: string | null, retryAfterMs: number | null) {
    super(`status ${status}${code ? ` (${code})` : ""}`);
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}

/** No connection, or one that broke off or fell silent. */
export class ConnectionFailure extends Error {
  override readonly name = "ConnectionFailure";
}

/** What arrived is not what the hub says it has. */
export class ChecksumMismatch extends Error {
  override readonly name = "ChecksumMismatch";
}

export function isTransient(error: unknown): boolean {
  if (error instanceof HubRefusal) return error.status >= 500 || error.status === 429 || error.status === 408;
  return error instanceof ConnectionFailure;
}

export interface FailureContext {
  /** As the user wrote it. */
  model: string;
  revision: string;
  hubHost: string;
  hasToken: boolean;
  directory: string;
  /** Bytes still to be fetched; null when not known yet. */
  missing: number | null;
}

export function toStartupError(error: unknown, context: FailureContext): ServeError {
  return error instanceof ServeError ? error : new StartupError(describe(error, context), { cause: error });
}

function describe(error: unknown, { model, revision, hubHost, hasToken, directory, missing }: FailureContext): string {
  if (error instanceof HubRefusal) {
    if (error.code === "RevisionNotFound") return `"${model}" has no revision "${revision}" on ${hubHost}.`;
    if (error.status === 401 || error.status === 403) {
      // Without a token the hub answers 401 for what does not exist as well.
      const unknown = error.code === "GatedRepo" ? "" : " (or does not exist)";
      const remedy = hasToken
        ? "the token in use may not read it: ask for access on its page, or set HF_TOKEN to another token"
        : "set HF_TOKEN to a token that may read it";
      return `"${model}" is gated or private${unknown} on ${hubHost}: ${remedy}.`;
    }
    if (error.status === 404) return `"${model}" was not found on ${hubHost}: no such model, and no such directory here.`;
    return `${hubHost} refused "${model}" with ${error.message}: try again later.`;
  }
  if (error instanceof ConnectionFailure) {
    return `"${model}" is not whole in the cache ${directory}, and downloading it from ${hubHost} failed: ${error.message}. What was fetched is kept; start again to go on.`;
  }
  if (error instanceof ChecksumMismatch) return `Downloading "${model}" from ${hubHost} failed twice: ${error.message}.`;
  const code = (error as { code?: unknown } | null)?.code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    const lacking = missing === null ? "" : ` ${formatBytes(missing)} of "${model}" are still missing;`;
    return `The disk is full: nothing more can be written to ${directory};${lacking} make room and start again, what was fetched is kept.`;
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS" || code === "SQLITE_CANTOPEN" || code === "SQLITE_READONLY") {
    return `"${model}" cannot be downloaded into ${directory}: no permission to write there (HF_HOME names another place).`;
  }
  return `Downloading "${model}" into ${directory} failed: ${error instanceof Error ? error.message : String(error)}.`;
}

/** "1.23 GB"; decimal units, as disks and the hub count. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const power = Math.min(4, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

/** What is asked of the hub: which commit, which files, and their bytes from an offset on. */
import { HUB_URL, InvalidApiResponseFormatError, listFiles, modelInfo } from "@huggingface/hub";
import type { HubSettings } from "../surroundings.ts";
import { readText } from "./cache.ts";
import { ConnectionFailure, HubRefusal, isTransient } from "./failure.ts";
import { commitPattern, type Repository } from "./repository.ts";

export interface RemoteFile {
  path: string;
  /** Bytes. */
  size: number;
  /** Name of the blob: sha256 of the content for large files, git's own sha1 for small ones. */
  oid: string;
}

export interface HubClient {
  readonly host: string;
  readonly hasToken: boolean;
  /** The commit that the repository's revision stands for now. */
  findCommit(): Promise<string>;
  listFiles(commit: string): Promise<RemoteFile[]>;
  /** A response with status 200 or 206 (from `offset` on). Throws `HubRefusal` or `ConnectionFailure`. */
  open(commit: string, path: string, offset: number, signal: AbortSignal): Promise<Response>;
}

/** How patient the transfer is. */
export interface Patience {
  /** Failures in a row, without a byte between them, that are put up with. */
  retries: number;
  /** First pause; doubles with each failure up to 30 times as much. */
  pauseMs: number;
  /** A connection that is silent for so long is taken for broken. */
  silenceMs: number;
}

const networkReasons: Readonly<Record<string, string>> = {
  ENOTFOUND: "its name cannot be resolved (no network?)",
  EAI_AGAIN: "its name cannot be resolved (no network?)",
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection broke off",
  ConnectionClosed: "the connection broke off",
};

export const defaultPatience: Patience = { retries: 5, pauseMs: 500, silenceMs: 30_000 };

export async function createClient(repository: Repository, hub: HubSettings, patience: Patience): Promise<HubClient> {
  const token = hub.token ?? (await readText(hub.tokenFile))?.trim() ?? "";
  const endpoint = new URL(hub.endpoint ?? HUB_URL);

  // The library would refuse tokens of other shapes than its own hub's, so the header is set here, and for the hub alone:
  // the redirect to the storage goes without.
  const send = async (url: string | URL, init: RequestInit = {}): Promise<Response> => {
    const headers = new Headers(init.headers);
    if (token !== "" && new URL(url).origin === endpoint.origin) headers.set("Authorization", `Bearer ${token}`);
    const response = await fetch(url, { ...init, headers }).catch((error: Error & { code?: string }) => {
      const reason = init.signal?.aborted
        ? "no answer in time"
        : (networkReasons[error.code ?? ""] ?? error.code ?? error.message);
      throw new ConnectionFailure(reason, { cause: error });
    });
    if (response.ok) return response;
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    await response.body?.cancel();
    throw new HubRefusal(response.status, response.headers.get("x-error-code"), Number.isFinite(seconds) ? seconds * 1000 : null);
  };
  const call: typeof fetch = Object.assign(
    (url: Parameters<typeof fetch>[0], init?: RequestInit) =>
      send(url instanceof Request ? url.url : url, { ...init, signal: AbortSignal.timeout(patience.silenceMs) }),
    { preconnect: fetch.preconnect },
  );
  const common = { hubUrl: endpoint.href.replace(/\/+$/, ""), fetch: call };

  return {
    host: endpoint.host,
    hasToken: token !== "",
    findCommit: () =>
      retry(patience, async () => {
        const { sha } = await modelInfo({
          ...common,
          name: repository.id,
          revision: repository.revision,
          additionalFields: ["sha"],
        });
        if (!commitPattern.test(sha)) throw new InvalidApiResponseFormatError(`the hub names no commit for ${repository.id}`);
        return sha;
      }),
    listFiles: (commit) =>
      retry(patience, async () => {
        const files: RemoteFile[] = [];
        for await (const entry of listFiles({ ...common, repo: repository.id, revision: commit, recursive: true })) {
          if (entry.type === "file")
            files.push({ path: entry.path, size: entry.lfs?.size ?? entry.size, oid: entry.lfs?.oid ?? entry.oid ?? "" });
        }
        return files;
      }),
    open: (commit, path, offset, signal) =>
      send(`${common.hubUrl}/${repository.id}/resolve/${commit}/${path}`, {
        signal,
        // Compressed on the way, ranges and sizes would be those of something else.
        headers: { "Accept-Encoding": "identity", ...(offset > 0 && { Range: `bytes=${offset}-` }) },
      }),
  };
}

async function retry<T>(patience: Patience, action: () => Promise<T>): Promise<T> {
  // A question is cheap to ask again by hand: fewer tries than for a transfer that has come half the way.
  for (let failures = 1; ; failures++) {
    try {
      return await action();
    } catch (error) {
      if (!isTransient(error) || failures > Math.min(2, patience.retries)) throw error;
      await Bun.sleep(pauseBefore(failures, patience, error));
    }
  }
}

/** Milliseconds before the next try, spread so that many clients do not come back at once. */
export function pauseBefore(failures: number, { pauseMs }: Patience, error: unknown): number {
  const asked = error instanceof HubRefusal ? Math.min(error.retryAfterMs ?? 0, 60_000) : 0;
  return Math.max(asked, pauseMs * Math.min(30, 2 ** (failures - 1)) * (0.75 + Math.random() / 2));
}

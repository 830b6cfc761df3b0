import type { InferenceServer } from "../engine/request.ts";

export type LogLine = { level: "debug" | "info" | "warn" | "error"; message: string; [key: string]: unknown };

export interface AppOptions {
  /** Take any model name instead of answering 404 to unknown ones. */
  acceptAnyModel?: boolean;
  /** When given, `/v1` asks for one of them. */
  apiKeys?: readonly string[];
  /** Largest request body in bytes; 32 MiB by default. */
  maxBodyBytes?: number;
  /** Shown in `system_fingerprint` and in the API description. */
  version?: string;
  log?: (line: LogLine) => void;
  /** Silence in a stream after which a comment line is sent; 5 seconds by default. */
  keepAliveMs?: number;
}

/** What every route gets. */
export interface HttpContext {
  readonly server: InferenceServer;
  readonly options: Readonly<Required<AppOptions>>;
  readonly fingerprint: string;
}

export function createContext(server: InferenceServer, options: AppOptions): HttpContext {
  const version = options.version ?? "0.0.0";
  return {
    server,
    fingerprint: `mlx-cb-serve-${version}`,
    options: {
      acceptAnyModel: options.acceptAnyModel ?? false,
      apiKeys: options.apiKeys ?? [],
      maxBodyBytes: options.maxBodyBytes ?? 32 * 1024 * 1024,
      version,
      log: options.log ?? (() => {}),
      keepAliveMs: options.keepAliveMs ?? 5000,
    },
  };
}

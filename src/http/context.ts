import { requireParsers } from "../chat/registry.ts";
import type { InferenceServer } from "../engine/request.ts";
import { digestKey } from "./access.ts";
import type { Storage } from "./storage.ts";

export type LogLine = { level: "debug" | "info" | "warn" | "error"; message: string; [key: string]: unknown };

export interface AppOptions {
  /** Take any model name instead of answering 404 to unknown ones. */
  acceptAnyModel?: boolean;
  /** When given, `/v1` asks for one of them. */
  apiKeys?: readonly string[];
  /** Let requests with different API keys use each other's computed prefixes. */
  sharePrefixCache?: boolean;
  /** Largest request body in bytes; 32 MiB by default. */
  maxBodyBytes?: number;
  /** How calls and reasoning are found in outputs, one of `parserNames` or `none`; null, the default: as the chat template shows. */
  toolParser?: string | null;
  reasoningParser?: string | null;
  /** Where files and batches are kept; in memory unless told. */
  storage?: Storage;
  /** Shown in `system_fingerprint` and in the API description. */
  version?: string;
  log?: (line: LogLine) => void;
  /** Silence in a stream after which a comment line is sent; 5 seconds by default. */
  keepAliveMs?: number;
}

/** What every route gets. */
export interface HttpContext {
  readonly server: InferenceServer;
  readonly options: Readonly<Required<Omit<AppOptions, "storage">>>;
  readonly fingerprint: string;
  /** Who asks, as far as computed prefixes are not shared: empty, or a digest of the API key. */
  readonly caller: string;
  /** What is asked runs only in what other requests leave. */
  readonly background: boolean;
}

/** Throws `StartupError` for a parser that there is not. */
export function createContext(server: InferenceServer, options: AppOptions): HttpContext {
  const { toolParser = null, reasoningParser = null } = options;
  requireParsers({ toolParser, reasoningParser });
  const version = options.version ?? "0.0.0";
  return {
    server,
    fingerprint: `mlx-cb-serve-${version}`,
    caller: "",
    background: false,
    options: {
      acceptAnyModel: options.acceptAnyModel ?? false,
      apiKeys: options.apiKeys ?? [],
      sharePrefixCache: options.sharePrefixCache ?? false,
      maxBodyBytes: options.maxBodyBytes ?? 32 * 1024 * 1024,
      toolParser,
      reasoningParser,
      version,
      log: options.log ?? (() => {}),
      keepAliveMs: options.keepAliveMs ?? 5000,
    },
  };
}

/** Requests that the server makes of itself, with whom it makes them for. */
const backgroundRequests = new WeakMap<Request, string>();

/** `caller`: as in `HttpContext`. Such a request needs no API key. */
export function markBackground(request: Request, caller: string): Request {
  backgroundRequests.set(request, caller);
  return request;
}

export function isBackground(request: Request): boolean {
  return backgroundRequests.has(request);
}

/** Whose files, batches and stored responses a request may see: empty without API keys, else a digest of its own. */
export function ownerOf({ options }: HttpContext, request: Request): string {
  return backgroundRequests.get(request) ?? (options.apiKeys.length === 0 ? "" : digestKey(request));
}

/** The context for one request: with API keys, each key has prefixes of its own unless they are shared. */
export function forCaller(context: HttpContext, request: Request): HttpContext {
  const background = backgroundRequests.has(request);
  const caller = context.options.sharePrefixCache ? "" : ownerOf(context, request);
  return background || caller !== "" ? { ...context, caller, background } : context;
}

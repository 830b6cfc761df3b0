/** What the environment says besides the options. */
import { homedir } from "node:os";
import { join } from "node:path";
import { StartupError } from "./errors.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where models are kept and where they are fetched from. */
export interface HubSettings {
  /** The Hugging Face cache: holds `models--owner--name` directories. */
  cacheDirectory: string;
  /** Base URL of the hub; null: the public one. */
  endpoint: string | null;
  token: string | null;
  /** Where `hf auth login` leaves a token; read only when `token` is null and something must be fetched. */
  tokenFile: string;
  /** Nothing is fetched. */
  offline: boolean;
}

export interface Surroundings {
  hub: HubSettings;
  /** For files and batches when no directory is named. */
  defaultStateDir: string;
}

/** Throws `StartupError` naming the variable that is wrong. */
export function readSurroundings(env: Environment): Surroundings {
  const state = env.XDG_STATE_HOME || join(env.HOME || homedir(), ".local", "state");
  return { hub: readHubSettings(env), defaultStateDir: join(state, "mlx-cb-serve") };
}

/** The same variables, in the same order, as Hugging Face's own tools. */
function readHubSettings(env: Environment): HubSettings {
  const endpoint = env.HF_ENDPOINT?.replace(/\/+$/, "") || null;
  if (endpoint !== null && !(URL.canParse(endpoint) && /^https?:/.test(endpoint))) {
    throw new StartupError(`HF_ENDPOINT must be a URL that begins with https:// or http://, not ${JSON.stringify(endpoint)}.`);
  }
  const home = env.HOME || homedir();
  const expand = (path: string) => (path === "~" || path.startsWith("~/") ? join(home, path.slice(1)) : path);
  const hubHome = expand(env.HF_HOME || join(env.XDG_CACHE_HOME || join(home, ".cache"), "huggingface"));
  return {
    cacheDirectory: expand(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(hubHome, "hub")),
    endpoint,
    token: (env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN)?.trim() || null,
    tokenFile: expand(env.HF_TOKEN_PATH || join(hubHome, "token")),
    offline: /^(1|on|yes|true)$/i.test(env.HF_HUB_OFFLINE ?? ""),
  };
}

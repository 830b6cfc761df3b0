import { rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { StartupError } from "../errors.ts";
import type { HubSettings } from "../surroundings.ts";
import { cacheOf, findSnapshot } from "./cache.ts";
import type { Patience } from "./client.ts";
import { downloadModel } from "./download.ts";
import { outlineModel } from "./outline.ts";
import type { ProgressReport } from "./progress.ts";
import { parseRepository, type Repository } from "./repository.ts";

/**
 * The directory of a model: a local directory as it is, else a Hugging Face id (`owner/name[@revision]`) from the cache,
 * downloaded into it when absent. Throws `StartupError`.
 */
export function resolveModel(model: string, hub: HubSettings, report: ProgressReport, patience?: Patience): Promise<string> {
  return findOr(model, hub, (repository) => downloadModel(repository, hub, report, patience));
}

/** The same for those who want no weights: of what is absent only the outline is fetched, for as long as `use` runs. */
export async function withOutline<T>(
  model: string,
  hub: HubSettings,
  use: (directory: string) => Promise<T>,
  patience?: Patience,
): Promise<T> {
  let outline: string | null = null;
  const directory = await findOr(model, hub, async (repository) => {
    outline = await outlineModel(repository, hub, patience);
    return outline;
  });
  try {
    return await use(directory);
  } finally {
    if (outline !== null) await rm(outline, { recursive: true, force: true });
  }
}

async function findOr(model: string, hub: HubSettings, bring: (repository: Repository) => Promise<string>): Promise<string> {
  const path = resolve(model === "~" || model.startsWith("~/") ? join(homedir(), model.slice(1)) : model);
  const found = await stat(path).catch(() => null);
  if (found?.isDirectory()) return path;
  if (found) throw new StartupError(`--model takes a directory, and ${path} is a file: give the directory that it is in.`);
  if (/^[~./\\]|\/$|\\/.test(model) || model.split("@")[0]!.split("/").length > 2)
    throw new StartupError(`There is no model directory ${path}.`);

  const repository = parseRepository(model);
  if (repository === null) {
    throw new StartupError(`"${model}" is neither a directory here nor a Hugging Face id (owner/name or owner/name@revision).`);
  }
  const cached = await findSnapshot(cacheOf(hub.cacheDirectory, repository), repository.revision);
  if (cached !== null) return cached;
  if (hub.offline) {
    throw new StartupError(
      `"${model}" is not whole in the cache ${hub.cacheDirectory}, and HF_HUB_OFFLINE forbids to download it.`,
    );
  }
  return bring(repository);
}

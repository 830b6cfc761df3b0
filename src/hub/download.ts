import { mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { StartupError } from "../errors.ts";
import type { HubSettings } from "../surroundings.ts";
import { cacheOf, fileSize, findSnapshot, linkBlob, type RepositoryCache, readText, writeRef } from "./cache.ts";
import { createClient, defaultPatience, type HubClient, type Patience, type RemoteFile } from "./client.ts";
import { formatBytes, toStartupError } from "./failure.ts";
import { chooseSmallFiles, chooseWeights, indexName } from "./files.ts";
import { acquireLock } from "./lock.ts";
import type { ProgressReport } from "./progress.ts";
import type { Repository } from "./repository.ts";
import { fetchBlob, partialPath } from "./transfer.ts";

/**
 * Brings a model into the cache and returns its snapshot directory. Only what is missing is fetched; of several
 * processes that want the same model one fetches and the others wait. Throws `StartupError`.
 */
export async function downloadModel(
  repository: Repository,
  hub: HubSettings,
  report: ProgressReport,
  patience: Patience = defaultPatience,
): Promise<string> {
  const cache = cacheOf(hub.cacheDirectory, repository);
  const wanted: RemoteFile[] = [];
  let client: HubClient | null = null;
  let unlock = () => {};
  try {
    unlock = await acquireLock(cache.lock, () => report.note(`waiting: another process is downloading ${repository.id}`));
    // Whoever held the lock may have done it all.
    const found = await findSnapshot(cache, repository.revision);
    if (found !== null) return found;
    client = await createClient(repository, hub, patience);
    const commit = await client.findCommit();
    const snapshot = join(cache.snapshots, commit);
    const remote = new Map((await client.listFiles(commit)).map((file) => [file.path, file]));
    await mkdir(cache.blobs, { recursive: true });
    const fetchFile = async (file: RemoteFile) => {
      const blob = join(cache.blobs, file.oid);
      const pointer = join(snapshot, file.path);
      if ((await fileSize(pointer)) === file.size) return;
      if ((await fileSize(blob)) !== file.size) await fetchBlob(client!, commit, file, blob, report, patience);
      await linkBlob(blob, pointer);
    };

    const index = remote.get(indexName);
    if (index) await fetchFile(checked(index));
    wanted.push(...chooseFiles(repository.id, remote, index ? await readText(join(snapshot, indexName)) : null));
    const missing = await missingBytes(wanted, cache, snapshot);
    await requireRoom(repository.id, hub.cacheDirectory, missing);
    const total = wanted.reduce((sum, file) => sum + file.size, 0);
    report.begin(repository.id, total, total - missing);
    try {
      for (const file of wanted) await fetchFile(file);
    } finally {
      report.end();
    }
    await writeRef(cache, repository.revision, commit);
    return snapshot;
  } catch (error) {
    throw toStartupError(error, {
      model: repository.id,
      revision: repository.revision,
      hubHost: client?.host ?? "the hub",
      hasToken: client?.hasToken ?? false,
      directory: hub.cacheDirectory,
      missing: wanted.length > 0 ? await missingBytes(wanted, cache, null) : null,
    });
  } finally {
    unlock();
  }
}

/** Small files first: whoever finds the weights whole finds the rest as well. */
function chooseFiles(id: string, remote: ReadonlyMap<string, RemoteFile>, index: string | null): RemoteFile[] {
  const names = [...remote.keys()];
  if (!remote.has("config.json")) throw new StartupError(`"${id}" is not a model that can be served: it has no config.json.`);
  const weights = chooseWeights(names, index);
  if (weights.length === 0) {
    throw new StartupError(`"${id}" has no model*.safetensors: choose a version of the model in safetensors format.`);
  }
  return [...new Set([...chooseSmallFiles(names), ...weights])].map((name) => {
    const file = remote.get(name);
    if (!file) throw new StartupError(`"${id}" is not whole on the hub: its weights lack ${name}.`);
    return checked(file);
  });
}

/** The blob's name becomes a path and its checksum. */
function checked(file: RemoteFile): RemoteFile {
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(file.oid)) throw new StartupError(`The hub gives no checksum for ${file.path}.`);
  return file;
}

async function missingBytes(files: readonly RemoteFile[], cache: RepositoryCache, snapshot: string | null): Promise<number> {
  let missing = 0;
  for (const file of files) {
    const blob = join(cache.blobs, file.oid);
    if (snapshot !== null && (await fileSize(join(snapshot, file.path))) === file.size) continue;
    if ((await fileSize(blob)) === file.size) continue;
    missing += file.size - Math.min(file.size, (await fileSize(partialPath(blob))) ?? 0);
  }
  return missing;
}

async function requireRoom(id: string, directory: string, missing: number): Promise<void> {
  const { blocks, bavail, bsize } = await statfs(directory);
  // Some network file systems do not say.
  if (blocks === 0 || bavail * bsize >= missing) return;
  throw new StartupError(
    `Not enough room in ${directory}: "${id}" needs ${formatBytes(missing)} more, ${formatBytes(bavail * bsize)} are free (HF_HOME names another place).`,
  );
}

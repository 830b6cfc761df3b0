/** The standard Hugging Face cache: `models--owner--name/{blobs,refs,snapshots}`. */
import { mkdir, readdir, readFile, rename, stat, symlink, unlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { chooseWeights, indexName } from "./files.ts";
import { commitPattern, type Repository } from "./repository.ts";

export interface RepositoryCache {
  root: string;
  blobs: string;
  refs: string;
  snapshots: string;
  /** One process at a time downloads; the hub's own tools ignore this directory. */
  lock: string;
}

export function cacheOf(cacheDirectory: string, { owner, name }: Repository): RepositoryCache {
  const folder = `models--${owner}--${name}`;
  const root = join(cacheDirectory, folder);
  return {
    root,
    blobs: join(root, "blobs"),
    refs: join(root, "refs"),
    snapshots: join(root, "snapshots"),
    lock: join(cacheDirectory, ".locks", folder, "mlx-cb-serve.lock"),
  };
}

/** The directory of a whole model in the cache, or null. */
export async function findSnapshot(cache: RepositoryCache, revision: string): Promise<string | null> {
  const commit = commitPattern.test(revision) ? revision : (await readText(join(cache.refs, revision)))?.trim();
  if (commit === undefined || !commitPattern.test(commit)) return null;
  const directory = join(cache.snapshots, commit);
  return (await isComplete(directory)) ? directory : null;
}

async function isComplete(directory: string): Promise<boolean> {
  const names: string[] = await readdir(directory).catch(() => []);
  const index = names.includes(indexName) ? await readText(join(directory, indexName)) : null;
  let weights: string[];
  try {
    weights = chooseWeights(names, index);
  } catch {
    return false;
  }
  // `stat` follows the links: one without its blob counts as missing.
  const needed = ["config.json", "tokenizer.json", ...weights].map((name) => fileSize(join(directory, name)));
  return weights.length > 0 && (await Promise.all(needed)).every((size) => size !== null);
}

/** Makes `snapshots/commit/path` a link to a blob; where links are not possible, the blob itself moves there. */
export async function linkBlob(blob: string, pointer: string): Promise<void> {
  await mkdir(dirname(pointer), { recursive: true });
  const aside = `${pointer}.${process.pid}.link`;
  try {
    await unlink(aside).catch(() => {});
    await symlink(relative(dirname(pointer), blob), aside);
    await rename(aside, pointer);
  } catch (error) {
    if (!["EPERM", "ENOTSUP", "EOPNOTSUPP", "EINVAL"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    await rename(blob, pointer);
  }
}

/** Says which commit a branch or tag stands for. */
export async function writeRef(cache: RepositoryCache, revision: string, commit: string): Promise<void> {
  if (revision === commit) return;
  const path = join(cache.refs, revision);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.${process.pid}.new`, commit);
  await rename(`${path}.${process.pid}.new`, path);
}

/** Bytes, or null when there is no such file. */
export async function fileSize(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null);
  return found?.isFile() ? found.size : null;
}

export async function readText(path: string): Promise<string | null> {
  return readFile(path, "utf8").catch(() => null);
}

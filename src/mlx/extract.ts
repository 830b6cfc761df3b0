/** Files embedded in the executable, and their way to disk: once, into a cache directory named by their content. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { StartupError } from "../errors.ts";

export interface EmbeddedFile {
  /** Where it goes, relative to the group's directory. */
  path: string;
  /** Where it lies in the executable. */
  source: string;
  /** Bytes on disk. */
  size: number;
  /** Lengths of the zstd frames that it is stored in; null: stored as it is. */
  frames: readonly number[] | null;
}

export interface EmbeddedGroup {
  /** Hash of all paths and contents: names the directory. */
  hash: string;
  files: readonly EmbeddedFile[];
}

const ASIDE = ".extract-";

export type EmbeddedGroupName = "native" | "tiny-chat";

let embedded: Partial<Record<EmbeddedGroupName, EmbeddedGroup>> = {};
const extracted = new Map<EmbeddedGroupName, string>();

/** Called by the entry of the compiled executable, before anything else runs. */
export function registerEmbedded(groups: Partial<Record<EmbeddedGroupName, EmbeddedGroup>>): void {
  embedded = groups;
}

/** The directory with the files of a group, or null when it is not embedded (development). Throws `StartupError`. */
export function extractEmbedded(name: EmbeddedGroupName): string | null {
  const group = embedded[name];
  if (!group) return null;
  const known = extracted.get(name);
  if (known) return known;
  const directory = extractGroup(name, group, cacheCandidates(process.env));
  extracted.set(name, directory);
  return directory;
}

/** Where to try, best first. A directory that the user named is the only one: silently using another would surprise. */
export function cacheCandidates(env: Record<string, string | undefined>): string[] {
  if (env.MLX_CB_CACHE) return [resolve(env.MLX_CB_CACHE)];
  const candidates: string[] = [];
  // The XDG specification: what is not absolute is to be ignored.
  if (env.XDG_CACHE_HOME?.startsWith("/")) candidates.push(join(env.XDG_CACHE_HOME, "mlx-cb-serve"));
  const home = env.HOME || homedir();
  if (home.startsWith("/")) candidates.push(join(home, ".cache/mlx-cb-serve"));
  return [...candidates, join(tmpdir(), `mlx-cb-serve-${process.getuid?.() ?? 0}`)];
}

/** Extracts into the first candidate that can be written to, and returns the directory. Throws `StartupError`. */
export function extractGroup(name: string, group: EmbeddedGroup, candidates: readonly string[]): string {
  let failure: StartupError | null = null;
  for (const candidate of candidates) {
    const directory = join(candidate, `${name}-${group.hash.slice(0, 16)}`);
    try {
      mkdirSync(candidate, { recursive: true, mode: 0o700 });
      requireOwn(candidate);
      if (!isComplete(directory, group)) fill(directory, candidate, group);
      return directory;
    } catch (error) {
      failure ??= cannotExtract(candidate, error);
    }
  }
  throw failure ?? new StartupError("There is no directory to write the native libraries to.");
}

/** Who else can write here chooses the code that we load. The temp directory is everyone's, so a name in it may be taken. */
function requireOwn(directory: string): void {
  const { uid, mode } = statSync(directory);
  const mine = uid === 0 || uid === process.getuid?.();
  if (!mine || mode & 0o022) throw new Error("others can write there");
}

function fill(directory: string, parent: string, group: EmbeddedGroup): void {
  removeAbandoned(parent);
  const aside = mkdtempSync(join(parent, ASIDE));
  try {
    writeGroup(aside, group);
    publish(aside, directory, group);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

/** A start that was killed leaves its half behind. */
function removeAbandoned(parent: string): void {
  for (const entry of readdirSync(parent)) {
    const path = join(parent, entry);
    const modified = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
    if (entry.startsWith(ASIDE) && modified && Date.now() - modified > 3_600_000) rmSync(path, { recursive: true, force: true });
  }
}

/** Renames into place; when something is there, it is another start's good copy, or a damaged one that makes room. */
function publish(aside: string, directory: string, group: EmbeddedGroup): void {
  for (let attempt = 0; ; attempt++) {
    try {
      renameSync(aside, directory);
      return;
    } catch (error) {
      if (isComplete(directory, group)) return;
      if (attempt === 5 || !["ENOTEMPTY", "EEXIST", "ENOTDIR"].includes(codeOf(error))) throw error;
    }
    const damaged = `${aside}-damaged`;
    try {
      renameSync(directory, damaged);
    } catch {
      // Another start was faster in moving it away.
    }
    rmSync(damaged, { recursive: true, force: true });
  }
}

function writeGroup(directory: string, group: EmbeddedGroup): void {
  for (const file of group.files) {
    const destination = join(directory, file.path);
    mkdirSync(dirname(destination), { recursive: true, mode: 0o700 });
    const stored = readFileSync(file.source);
    if (!file.frames) {
      writeFileSync(destination, stored);
      continue;
    }
    // Frame by frame: the whole of the largest file would be 150 MB more memory.
    let at = 0;
    writeFileSync(destination, "");
    for (const length of file.frames) {
      writeFileSync(destination, Bun.zstdDecompressSync(stored.subarray(at, at + length)), { flag: "a" });
      at += length;
    }
  }
}

/** Sizes only: the directory is the user's own, and hashing 60 MB at every start would be felt. */
function isComplete(directory: string, group: EmbeddedGroup): boolean {
  try {
    return group.files.every((file) => statSync(join(directory, file.path)).size === file.size);
  } catch {
    return false;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function cannotExtract(directory: string, error: unknown): StartupError {
  const full = ["ENOSPC", "EDQUOT"].includes(codeOf(error));
  const reason = full ? "the disk is full" : error instanceof Error ? error.message : String(error);
  const message = `Cannot write the embedded files below ${directory}: ${reason}; name another directory in MLX_CB_CACHE.`;
  return new StartupError(message, { cause: error });
}

import { Database } from "bun:sqlite";
import { join } from "node:path";

/**
 * Takes a directory's work for this process, until it ends in whatever way: the lock is the operating system's. Null when another
 * process has it.
 */
export function claimDirectory(directory: string): { release(): void } | null {
  let lock: Database | null = null;
  try {
    lock = new Database(join(directory, "runner.lock"), { create: true });
    lock.run("PRAGMA locking_mode = EXCLUSIVE");
    lock.run("BEGIN EXCLUSIVE");
  } catch {
    // Held by somebody else; other reasons come to the same: the work is not ours.
    lock?.close();
    return null;
  }
  const held = lock;
  return { release: () => held.close() };
}

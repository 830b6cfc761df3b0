import { Database } from "bun:sqlite";
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Waits until no other process (nor another call in this one) holds `path`, then holds it until the returned function is
 * called. SQLite's lock is the kernel's: it ends with its process, so a crash leaves nothing stale behind.
 */
export async function acquireLock(path: string, onWait: () => void, pollMs = 200): Promise<() => void> {
  await mkdir(dirname(path), { recursive: true });
  const database = new Database(path, { create: true });
  for (let waited = false; ; await Bun.sleep(pollMs)) {
    try {
      database.run("BEGIN EXCLUSIVE");
      return () => database.close();
    } catch (error) {
      if ((error as { code?: string }).code !== "SQLITE_BUSY") {
        database.close();
        throw error;
      }
      if (!waited) onWait();
      waited = true;
    }
  }
}

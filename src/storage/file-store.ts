import type { Database } from "bun:sqlite";

export interface StoredFile {
  id: string;
  filename: string;
  purpose: string;
  bytes: number;
  /** Unix seconds. */
  created_at: number;
}

/** Rows of a size that takes the database no noticeable time. */
const CHUNK_BYTES = 2 ** 20;

const pause = () => new Promise((resolve) => setImmediate(resolve));

/** Files as their owners have sent them, or as batches have made them. An owner sees only its own. */
export class FileStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
    // Chunks of uploads that a crash has cut off.
    database.run("DELETE FROM chunks WHERE file NOT IN (SELECT id FROM files)");
  }

  /** A file is there for others only when all of it is. */
  async add(
    owner: string,
    { filename, purpose }: Pick<StoredFile, "filename" | "purpose">,
    parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): Promise<StoredFile> {
    const file = { id: `file-${crypto.randomUUID().replaceAll("-", "")}`, filename, purpose, bytes: 0, created_at: now() };
    const insert = this.#database.query("INSERT INTO chunks (file, place, data) VALUES (?, ?, ?)");
    let place = 0;
    try {
      for await (const part of parts) {
        for (let at = 0; at < part.byteLength; at += CHUNK_BYTES) {
          insert.run(file.id, place++, part.subarray(at, at + CHUNK_BYTES));
          await pause();
        }
        file.bytes += part.byteLength;
      }
      this.#database
        .query("INSERT INTO files (id, owner, filename, purpose, bytes, created_at) VALUES (?, ?, ?, ?, ?, ?)")
        .run(file.id, owner, filename, purpose, file.bytes, file.created_at);
    } catch (error) {
      this.#database.query("DELETE FROM chunks WHERE file = ?").run(file.id);
      throw error;
    }
    return file;
  }

  get(owner: string, id: string): StoredFile | null {
    return this.#database
      .query<StoredFile, [string, string]>(
        "SELECT id, filename, purpose, bytes, created_at FROM files WHERE id = ? AND owner = ?",
      )
      .get(id, owner);
  }

  /** Newest first unless `ascending`; `after`: the id that the page before ended with. One more than `limit` tells that there are more. */
  list(
    owner: string,
    { purpose, limit, after, ascending }: { purpose: string | null; limit: number; after: string | null; ascending: boolean },
  ): StoredFile[] {
    const order = ascending ? "ASC" : "DESC";
    const beyond = ascending ? ">" : "<";
    return this.#database
      .query<StoredFile, (string | number | null)[]>(
        `SELECT id, filename, purpose, bytes, created_at FROM files
         WHERE owner = ?1 AND (?2 IS NULL OR purpose = ?2) AND (?3 IS NULL OR rowid ${beyond} (SELECT rowid FROM files WHERE id = ?3))
         ORDER BY rowid ${order} LIMIT ?4`,
      )
      .all(owner, purpose, after, limit);
  }

  /** The content piece by piece. */
  *read(id: string): Generator<Uint8Array> {
    const chunk = this.#database.query<{ data: Uint8Array }, [string, number]>(
      "SELECT data FROM chunks WHERE file = ? AND place = ?",
    );
    for (let place = 0; ; place++) {
      const row = chunk.get(id, place);
      if (!row) return;
      yield row.data;
    }
  }

  delete(owner: string, id: string): boolean {
    return this.#database.transaction(() => {
      const { changes } = this.#database.query("DELETE FROM files WHERE id = ? AND owner = ?").run(id, owner);
      if (changes > 0) this.#database.query("DELETE FROM chunks WHERE file = ?").run(id);
      return changes > 0;
    })();
  }
}

/** Unix seconds. */
export const now = () => Math.floor(Date.now() / 1000);

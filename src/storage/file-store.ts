import type { Database } from "bun:sqlite";
import { macrotask } from "../macrotask.ts";

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

/** `bytes` of a file that is not all there yet. */
const UNFINISHED = -1;
/** By then an upload has ended, or a crash has cut it off. Another process may be at one now. */
const ABANDONED_SECONDS = 86_400;

/** Files as their owners have sent them, or as batches have made them. An owner sees only its own. */
export class FileStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
    database.query("DELETE FROM files WHERE bytes = ? AND created_at < ?").run(UNFINISHED, now() - ABANDONED_SECONDS);
    database.run("DELETE FROM chunks WHERE file NOT IN (SELECT id FROM files)");
  }

  /** A file is there for others only when all of it is. One that is added again under its id takes the former one's place. */
  async add(
    owner: string,
    { id = newId(), filename, purpose }: Pick<StoredFile, "filename" | "purpose"> & { id?: string },
    parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): Promise<StoredFile> {
    const file = { id, filename, purpose, bytes: 0, created_at: now() };
    const insert = this.#database.query("INSERT INTO chunks (file, place, data) VALUES (?, ?, ?)");
    let place = 0;
    this.delete(owner, id);
    this.#database
      .query("INSERT INTO files (id, owner, filename, purpose, bytes, created_at) VALUES (?, ?, ?, ?, ?, ?)")
      .run(id, owner, filename, purpose, UNFINISHED, file.created_at);
    try {
      for await (const part of parts) {
        for (let at = 0; at < part.byteLength; at += CHUNK_BYTES) {
          insert.run(file.id, place++, part.subarray(at, at + CHUNK_BYTES));
          await macrotask();
        }
        file.bytes += part.byteLength;
      }
      this.#database.query("UPDATE files SET bytes = ? WHERE id = ?").run(file.bytes, id);
    } catch (error) {
      this.delete(owner, id);
      throw error;
    }
    return file;
  }

  get(owner: string, id: string): StoredFile | null {
    return this.#database
      .query<StoredFile, [string, string]>(
        `SELECT id, filename, purpose, bytes, created_at FROM files WHERE id = ? AND owner = ? AND bytes <> ${UNFINISHED}`,
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
         WHERE owner = ?1 AND bytes <> ${UNFINISHED} AND (?2 IS NULL OR purpose = ?2) AND (?3 IS NULL OR rowid ${beyond} (SELECT rowid FROM files WHERE id = ?3))
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

const newId = () => `file-${crypto.randomUUID().replaceAll("-", "")}`;

/** Unix seconds. */
export const now = () => Math.floor(Date.now() / 1000);

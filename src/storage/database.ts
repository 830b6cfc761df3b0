/** The server's own database: uploaded files, and batches with what has been done of them. */
import { Database, SQLiteError } from "bun:sqlite";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { StartupError } from "../errors.ts";

/** Raised with the tables; an older database is brought up to it, a newer one refused. */
const VERSION = 1;

const TABLES = `
  CREATE TABLE files (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, filename TEXT NOT NULL, purpose TEXT NOT NULL,
    bytes INTEGER NOT NULL, created_at INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE chunks (
    file TEXT NOT NULL, place INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (file, place)
  ) STRICT;
  CREATE TABLE batches (id TEXT PRIMARY KEY, owner TEXT NOT NULL, created_at INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
  CREATE TABLE lines (
    batch TEXT NOT NULL, line INTEGER NOT NULL, custom_id TEXT NOT NULL, body TEXT NOT NULL, status INTEGER, reply TEXT,
    PRIMARY KEY (batch, line)
  ) STRICT;
  CREATE INDEX lines_to_do ON lines (batch, line) WHERE status IS NULL;
`;

/** Whether it was the database that failed: its disk is full, gone or busy, and may be well again later. */
export const isStorageFailure = (error: unknown): boolean => error instanceof SQLiteError;

/** Opens the database of a directory, or one in memory for null. Throws `StartupError` when it cannot be used. */
export function openDatabase(directory: string | null): Database {
  try {
    return prepare(directory === null ? new Database(":memory:") : openFile(directory));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartupError(`the state directory ${directory} cannot be used: ${reason}`, { cause: error });
  }
}

function openFile(directory: string): Database {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, "state.sqlite");
  const database = new Database(path, { create: true });
  // Prompts are private; the files beside it (journal) take the mode of this one.
  chmodSync(path, 0o600);
  return database;
}

function prepare(database: Database): Database {
  database.run("PRAGMA busy_timeout = 5000");
  database.run("PRAGMA journal_mode = WAL");
  // Survives a crash of the program; a power cut may cost the last moments, never the database.
  database.run("PRAGMA synchronous = NORMAL");
  database.transaction(() => {
    const { user_version: version } = database.query<{ user_version: number }, []>("PRAGMA user_version").get()!;
    if (version > VERSION) throw new Error("it was written by a newer version of this program");
    if (version < 1) database.run(TABLES);
    database.run(`PRAGMA user_version = ${VERSION}`);
  })();
  return database;
}

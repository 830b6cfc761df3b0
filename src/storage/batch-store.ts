import type { Database } from "bun:sqlite";

export type BatchStatus =
  | "validating"
  | "failed"
  | "in_progress"
  | "finalizing"
  | "completed"
  | "cancelling"
  | "cancelled"
  | "expired";

export interface BatchError {
  code: string;
  message: string;
  param: string | null;
  line: number | null;
}

/** What is kept of a batch beside its lines; times in Unix seconds. */
export interface Batch {
  id: string;
  endpoint: string;
  input_file_id: string;
  completion_window: string;
  status: BatchStatus;
  output_file_id: string | null;
  error_file_id: string | null;
  errors: BatchError[];
  created_at: number;
  in_progress_at: number | null;
  expires_at: number;
  finalizing_at: number | null;
  completed_at: number | null;
  failed_at: number | null;
  expired_at: number | null;
  cancelling_at: number | null;
  cancelled_at: number | null;
  metadata: Record<string, string> | null;
}

export interface BatchLine {
  line: number;
  custom_id: string;
  /** JSON text of the request. */
  body: string;
}

export interface DoneLine {
  line: number;
  custom_id: string;
  /** HTTP status. */
  status: number;
  /** JSON text of the answer. */
  reply: string;
}

export interface LineCounts {
  total: number;
  completed: number;
  failed: number;
}

interface BatchRow {
  id: string;
  owner: string;
  state: string;
}

/** Batches, their requests, and the answers: each is recorded in one transaction, so that none is lost or done twice. */
export class BatchStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  add(owner: string, batch: Batch): void {
    this.#database
      .query("INSERT INTO batches (id, owner, created_at, state) VALUES (?, ?, ?, ?)")
      .run(batch.id, owner, batch.created_at, JSON.stringify(batch));
  }

  /** Null for another owner's. */
  get(owner: string, id: string): Batch | null {
    const row = this.#database
      .query<BatchRow, [string, string]>("SELECT * FROM batches WHERE id = ? AND owner = ?")
      .get(id, owner);
    return row && (JSON.parse(row.state) as Batch);
  }

  /** Newest first. */
  list(owner: string, { limit, after }: { limit: number; after: string | null }): Batch[] {
    return this.#database
      .query<BatchRow, [string, string | null, number]>(
        `SELECT * FROM batches WHERE owner = ?1 AND (?2 IS NULL OR rowid < (SELECT rowid FROM batches WHERE id = ?2))
         ORDER BY rowid DESC LIMIT ?3`,
      )
      .all(owner, after, limit)
      .map(({ state }) => JSON.parse(state) as Batch);
  }

  /** Those that have something left to do, with their owners, the oldest first. */
  unfinished(): { owner: string; batch: Batch }[] {
    return this.#database
      .query<BatchRow, []>(
        "SELECT * FROM batches WHERE json_extract(state, '$.status') IN ('validating', 'in_progress', 'finalizing', 'cancelling') ORDER BY rowid",
      )
      .all()
      .map(({ owner, state }) => ({ owner, batch: JSON.parse(state) as Batch }));
  }

  /** Changes fields of a batch; what others have changed meanwhile stays. */
  update(id: string, changes: Partial<Batch>): void {
    this.#database.query("UPDATE batches SET state = json_patch(state, ?) WHERE id = ?").run(JSON.stringify(changes), id);
  }

  /** Forgets the requests of a batch. */
  clearLines(id: string): void {
    this.#database.query("DELETE FROM lines WHERE batch = ?").run(id);
  }

  addLines(id: string, lines: readonly BatchLine[]): void {
    this.#database.transaction(() => {
      const insert = this.#database.query("INSERT INTO lines (batch, line, custom_id, body) VALUES (?, ?, ?, ?)");
      for (const { line, custom_id, body } of lines) insert.run(id, line, custom_id, body);
    })();
  }

  /** Requests without an answer, from line `after` on. */
  linesToDo(id: string, after: number, limit: number): BatchLine[] {
    return this.#database
      .query<BatchLine, [string, number, number]>(
        "SELECT line, custom_id, body FROM lines WHERE batch = ? AND status IS NULL AND line > ? ORDER BY line LIMIT ?",
      )
      .all(id, after, limit);
  }

  /** Records an answer; a second one for the same request changes nothing. */
  finishLine(id: string, line: number, status: number, reply: string): void {
    this.#database
      .query("UPDATE lines SET status = ?, reply = ? WHERE batch = ? AND line = ? AND status IS NULL")
      .run(status, reply, id, line);
  }

  /** Answers in the order of the requests, from line `after` on. */
  doneLines(id: string, after: number, limit: number): DoneLine[] {
    return this.#database
      .query<DoneLine, [string, number, number]>(
        "SELECT line, custom_id, status, reply FROM lines WHERE batch = ? AND status IS NOT NULL AND line > ? ORDER BY line LIMIT ?",
      )
      .all(id, after, limit);
  }

  counts(id: string): LineCounts {
    return this.#database
      .query<LineCounts, [string]>(
        `SELECT count(*) AS total, count(*) FILTER (WHERE status < 400) AS completed, count(*) FILTER (WHERE status >= 400) AS failed
         FROM lines WHERE batch = ?`,
      )
      .get(id)!;
  }
}

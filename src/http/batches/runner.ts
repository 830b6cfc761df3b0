/** Works off batches behind live traffic: checks their requests, runs them, writes their output files. */

import { macrotask } from "../../macrotask.ts";
import type { Batch, BatchLine, BatchStore, DoneLine } from "../../storage/batch-store.ts";
import { isStorageFailure } from "../../storage/database.ts";
import { type FileStore, now } from "../../storage/file-store.ts";
import { type LogLine, markBackground } from "../context.ts";
import { createLineReader } from "./lines.ts";

export interface RunnerOptions {
  batches: BatchStore;
  files: FileStore;
  /** The server itself. */
  handle: (request: Request) => Promise<Response>;
  /** Whether requests can be taken now. */
  ready: () => boolean;
  log: (line: LogLine) => void;
  /** Requests that run at the same time. */
  concurrency?: number;
  /** Between two attempts after the database has failed. */
  storageRetryMs?: number;
}

interface Work {
  owner: string;
  batch: Batch;
}

const PAGE = 64;
/** After an answer that says that the server is busy or not there yet. */
const RETRY_MS = 500;

export class BatchRunner {
  readonly #options: RunnerOptions;
  readonly #stopping = new AbortController();
  readonly #stopped = Promise.withResolvers<void>();
  #wake: (() => void) | null = null;
  #loop: Promise<void> | null = null;
  /** What is being answered, and what ends it. */
  #answering: { work: Work; ending: AbortController } | null = null;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** Looks for what is unfinished, or cancelled. */
  start(): void {
    this.#loop ??= this.#run();
    this.#wake?.();
    if (this.#answering && this.#isOver(this.#answering.work)) this.#answering.ending.abort();
  }

  /** Leaves what is running undone; the next start does it. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#stopped.resolve();
    this.#wake?.();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        const [work] = this.#options.batches.unfinished();
        if (work) await this.#advanceOrFail(work);
        else await this.#idle();
      } catch (error) {
        // What is recorded stays as it is, and what is not is done again.
        this.#options.log({ level: "error", message: "batches cannot be recorded and wait", error: String(error) });
        await Promise.race([Bun.sleep(this.#options.storageRetryMs ?? 10_000), this.#stopped.promise]);
      }
    }
  }

  async #idle(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = null;
  }

  /** Throws when the database has failed: that is not the batch's fault. */
  async #advanceOrFail(work: Work): Promise<void> {
    try {
      await this.#advance(work);
    } catch (error) {
      if (isStorageFailure(error)) throw error;
      this.#options.log({ level: "error", message: "a batch failed", batch: work.batch.id, error: String(error) });
      const reason = { code: "internal_error", message: String(error).slice(0, 500), param: null, line: null };
      this.#options.batches.update(work.batch.id, { status: "failed", failed_at: now(), errors: [reason] });
    }
  }

  /** Whether nothing more of the batch is to be run. */
  #isOver({ owner, batch }: Work): boolean {
    return this.#stopping.signal.aborted || this.#options.batches.get(owner, batch.id)?.status !== "in_progress";
  }

  /** Brings a batch to its next status. */
  async #advance(work: Work): Promise<void> {
    const { batch } = work;
    const { batches } = this.#options;
    if (batch.status === "validating") return this.#validate(work);
    if (batch.status === "in_progress") await this.#answer(work);
    if (this.#stopping.signal.aborted) return;
    const { status } = batches.get(work.owner, batch.id)!;
    if (status === "in_progress") batches.update(batch.id, { status: "finalizing", finalizing_at: now() });
    await this.#finalize(work, status);
  }

  async #validate({ owner, batch }: Work): Promise<void> {
    const { batches, files } = this.#options;
    const reader = createLineReader(batch.endpoint);
    batches.clearLines(batch.id);
    if (files.get(owner, batch.input_file_id)) {
      for (const bytes of files.read(batch.input_file_id)) {
        batches.addLines(batch.id, reader.push(bytes));
        await macrotask();
        if (this.#stopping.signal.aborted) return;
      }
    }
    batches.addLines(batch.id, reader.end());
    if (batches.get(owner, batch.id)?.status !== "validating") return;
    if (reader.errors.length > 0) {
      batches.clearLines(batch.id);
      batches.update(batch.id, { status: "failed", failed_at: now(), errors: [...reader.errors] });
    } else batches.update(batch.id, { status: "in_progress", in_progress_at: now() });
  }

  /** Runs what has no answer yet, several requests beside each other. */
  async #answer(work: Work): Promise<void> {
    const { batches, concurrency = 32 } = this.#options;
    const { batch } = work;
    const ending = new AbortController();
    const signal = AbortSignal.any([ending.signal, this.#stopping.signal]);
    let last = 0;
    let page: BatchLine[] = [];
    const isOver = () => signal.aborted || this.#isOver(work);
    const next = (): BatchLine | undefined => {
      if (page.length === 0) page = batches.linesToDo(batch.id, last, PAGE);
      const line = page.shift();
      if (line) last = line.line;
      return line;
    };
    const worker = async () => {
      for (let line = next(); line; line = next()) {
        for (let done = false; !done; ) {
          if (isOver()) return;
          done = await this.#answerLine(work, line, signal);
          if (!done && !signal.aborted) await Bun.sleep(RETRY_MS);
        }
        if (isOver()) return;
      }
    };
    this.#answering = { work, ending };
    // When one fails the others end first: what comes next must not meet them.
    const outcomes = await Promise.allSettled(
      Array.from({ length: concurrency }, () =>
        worker().catch((error: unknown) => {
          ending.abort();
          throw error;
        }),
      ),
    );
    this.#answering = null;
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  /** False: to be tried again. */
  async #answerLine({ owner, batch }: Work, { line, body }: BatchLine, signal: AbortSignal): Promise<boolean> {
    const { handle, ready, batches } = this.#options;
    if (now() >= batch.expires_at) {
      batches.finishLine(
        batch.id,
        line,
        408,
        JSON.stringify({ error: { message: "The batch has expired.", code: "batch_expired" } }),
      );
      return true;
    }
    if (!ready()) return false;
    const headers = { "content-type": "application/json" };
    const request = new Request(`http://localhost${batch.endpoint}`, { method: "POST", headers, body, signal });
    const response = await handle(markBackground(request, owner));
    const reply = await response.text();
    if (signal.aborted || response.status === 429 || response.status === 503) return false;
    batches.finishLine(batch.id, line, response.status, reply);
    return true;
  }

  async #finalize({ owner, batch }: Work, status: Batch["status"]): Promise<void> {
    const { batches } = this.#options;
    const { completed, failed } = batches.counts(batch.id);
    const output = completed > 0 ? await this.#write(owner, batch, "output", (code) => code < 400) : null;
    const errors = failed > 0 ? await this.#write(owner, batch, "error", (code) => code >= 400) : null;
    const cancelled = status === "cancelling";
    batches.update(batch.id, {
      ...(output && { output_file_id: output }),
      ...(errors && { error_file_id: errors }),
      ...(cancelled ? { status: "cancelled", cancelled_at: now() } : { status: "completed", completed_at: now() }),
    });
  }

  async #write(owner: string, batch: Batch, kind: "output" | "error", wanted: (status: number) => boolean): Promise<string> {
    const { batches, files } = this.#options;
    async function* parts() {
      let last = 0;
      for (;;) {
        const lines = batches.doneLines(batch.id, last, PAGE);
        if (lines.length === 0) return;
        last = lines.at(-1)!.line;
        const text = lines.filter(({ status }) => wanted(status)).map((line) => `${formatLine(batch.id, line)}\n`);
        yield new TextEncoder().encode(text.join(""));
        await macrotask();
      }
    }
    // The same id in every attempt: one that was cut off leaves nothing behind.
    const id = batch.id.replace("batch_", `file-${kind}-`);
    await files.add(owner, { id, filename: `${batch.id}_${kind}.jsonl`, purpose: "batch_output" }, parts());
    return id;
  }
}

/** A line of an output file as OpenAI writes it. The answer is JSON text already. */
function formatLine(batch: string, { line, custom_id, status, reply }: DoneLine): string {
  const id = `batch_req_${batch.slice(-12)}_${line}`;
  const response = `{"status_code":${status},"request_id":${JSON.stringify(`req_${id}`)},"body":${reply}}`;
  return `{"id":${JSON.stringify(id)},"custom_id":${JSON.stringify(custom_id)},"response":${response},"error":null}`;
}

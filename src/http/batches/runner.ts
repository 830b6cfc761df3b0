/** Works off batches behind live traffic: checks their requests, runs them, writes their output files. */
import type { Batch, BatchLine, BatchStore, DoneLine } from "../../storage/batch-store.ts";
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
}

interface Work {
  owner: string;
  batch: Batch;
}

const PAGE = 64;
/** After an answer that says that the server is busy or not there yet. */
const RETRY_MS = 500;

const pause = () => new Promise((resolve) => setImmediate(resolve));

export class BatchRunner {
  readonly #options: RunnerOptions;
  readonly #stopping = new AbortController();
  #wake: (() => void) | null = null;
  #loop: Promise<void> | null = null;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** Begins, or goes on, with what is unfinished. */
  start(): void {
    this.#loop ??= this.#run();
    this.#wake?.();
  }

  /** Leaves what is running undone; the next start does it. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake?.();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const [work] = this.#options.batches.unfinished();
      if (!work) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = null;
        continue;
      }
      try {
        await this.#advance(work);
      } catch (error) {
        this.#options.log({ level: "error", message: "a batch failed", batch: work.batch.id, error: String(error) });
        const reason = { code: "internal_error", message: String(error).slice(0, 500), param: null, line: null };
        this.#options.batches.update(work.batch.id, { status: "failed", failed_at: now(), errors: [reason] });
      }
    }
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
        await pause();
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
    let last = 0;
    let page: BatchLine[] = [];
    const isOver = () => this.#stopping.signal.aborted || batches.get(work.owner, batch.id)?.status !== "in_progress";
    const next = (): BatchLine | undefined => {
      if (page.length === 0) page = batches.linesToDo(batch.id, last, PAGE);
      const line = page.shift();
      if (line) last = line.line;
      return line;
    };
    const worker = async () => {
      for (let line = next(); line; line = next()) {
        while (!isOver() && !(await this.#answerLine(work, line))) await Bun.sleep(RETRY_MS);
        if (isOver()) return;
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
  }

  /** False: to be tried again. */
  async #answerLine({ owner, batch }: Work, { line, body }: BatchLine): Promise<boolean> {
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
    const { signal } = this.#stopping;
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
        await pause();
      }
    }
    const { id } = await files.add(owner, { filename: `${batch.id}_${kind}.jsonl`, purpose: "batch_output" }, parts());
    return id;
  }
}

/** A line of an output file as OpenAI writes it. The answer is JSON text already. */
function formatLine(batch: string, { line, custom_id, status, reply }: DoneLine): string {
  const id = `batch_req_${batch.slice(-12)}_${line}`;
  const response = `{"status_code":${status},"request_id":${JSON.stringify(`req_${id}`)},"body":${reply}}`;
  return `{"id":${JSON.stringify(id)},"custom_id":${JSON.stringify(custom_id)},"response":${response},"error":null}`;
}

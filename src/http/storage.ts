/** What outlives a request: files, batches, and the work that is left to do of them. */
import type { Database } from "bun:sqlite";
import { BatchStore } from "../storage/batch-store.ts";
import { claimDirectory } from "../storage/claim.ts";
import { openDatabase } from "../storage/database.ts";
import { FileStore } from "../storage/file-store.ts";
import { BatchRunner } from "./batches/runner.ts";
import type { LogLine } from "./context.ts";

/** How long it takes at most until one of several servers does what another has taken in, or takes the work over. */
const LOOK_MS = 1000;

export class Storage {
  readonly files: FileStore;
  readonly batches: BatchStore;
  readonly #database: Database;
  readonly #directory: string | null;
  #claim: { release(): void } | null;
  #runner: BatchRunner | null = null;
  #look: NodeJS.Timeout | null = null;

  private constructor(directory: string | null) {
    this.#directory = directory;
    this.#database = openDatabase(directory);
    this.files = new FileStore(this.#database);
    this.batches = new BatchStore(this.#database);
    this.#claim = directory === null ? { release: () => {} } : claimDirectory(directory);
  }

  /** `directory` null: in memory only. Throws `StartupError`. */
  static open(directory: string | null): Storage {
    return new Storage(directory);
  }

  /** Whether batches are run here: of servers that share a directory only the first does. */
  get runsBatches(): boolean {
    return this.#claim !== null;
  }

  /** Goes on with what is unfinished, as soon as `ready` says so and no other server does. */
  begin(handle: (request: Request) => Promise<Response>, ready: () => boolean, log: (line: LogLine) => void): void {
    const directory = this.#directory;
    const look = () => {
      if (!this.#claim && directory !== null) {
        this.#claim = claimDirectory(directory);
        if (this.#claim) log({ level: "info", message: `works off the batches in ${directory} from now on` });
      }
      if (!this.#claim) return;
      this.#runner ??= new BatchRunner({ batches: this.batches, files: this.files, handle, ready, log });
      this.#runner.start();
    };
    const lookAgain = () => {
      try {
        look();
      } catch (error) {
        log({ level: "error", message: "batches cannot be looked for", error: String(error) });
      }
    };
    look();
    if (!this.#claim) log({ level: "info", message: `another server works off the batches in ${directory}` });
    if (directory === null || this.#look) return;
    this.#look = setInterval(lookAgain, LOOK_MS);
    this.#look.unref();
  }

  wake(): void {
    this.#runner?.start();
  }

  /** Stops the work; what is left is done after the next start. */
  async close(): Promise<void> {
    if (this.#look) clearInterval(this.#look);
    await this.#runner?.stop();
    this.#claim?.release();
    this.#database.close();
  }
}

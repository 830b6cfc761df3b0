/** Blocks on disk: written behind, read ahead, shared with other processes, never trusted. */
import { randomUUID } from "node:crypto";
import { chmod, mkdir, open, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { StartupError } from "../errors.ts";
import { type BlockContent, decodeBlock, encodeBlock } from "./block-file.ts";

export interface DiskStoreOptions {
  directory: string;
  /** The most bytes of all files together. */
  limitBytes: number;
  /** Bytes that may wait to be written; what comes then is not kept. */
  queueBytes?: number;
  /** Told once when the disk refuses: nothing is written from then on. */
  onRefusal?: (error: unknown) => void;
  /** Writes a file whole; tests make it fail. */
  writeFile?: (path: string, parts: readonly Uint8Array[]) => Promise<void>;
}

interface Entry {
  bytes: number;
  /** How many blocks come before it. */
  depth: number;
  /** Milliseconds since 1970. */
  used: number;
}

export interface Address {
  key: string;
  kind: BlockContent["kind"];
  depth: number;
}

const NAME = /^([0-9a-f]{32})-(\d{1,9})\.(tokens|state)\.safetensors$/;
const PARTIAL = /^\.[0-9a-f]{32}-\d{1,9}\.(tokens|state)\.[0-9a-f-]{36}\.partial$/;
/** Uses closer than this are taken as one: of those the blocks at the ends of chains go first. */
const USE_MS = 600_000;
/** A file that a crash has left half written. */
const STALE_MS = 3_600_000;
const RESCAN_WRITES = 256;

export class DiskStore {
  readonly #options: Required<Omit<DiskStoreOptions, "onRefusal">> & Pick<DiskStoreOptions, "onRefusal">;
  /** By path from the directory. */
  #entries = new Map<string, Entry>();
  #bytes = 0;
  #waiting = 0;
  #refused = false;
  #writesToScan = RESCAN_WRITES;
  #tail: Promise<void> = Promise.resolve();
  /** Another one begins when all blocks are removed: what was queued before is not written. */
  #era = 0;

  private constructor(options: DiskStoreOptions) {
    this.#options = { queueBytes: 2 ** 28, writeFile: writePrivately, ...options };
  }

  /** Throws `StartupError` when the directory cannot be used. */
  static async open(options: DiskStoreOptions): Promise<DiskStore> {
    const store = new DiskStore(options);
    try {
      await store.#scan();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new StartupError(`the prefix cache's directory ${options.directory} cannot be used: ${reason}`, { cause: error });
    }
    return store;
  }

  /** Bytes of the files that are known. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the disk still takes something. */
  get writing(): boolean {
    return !this.#refused;
  }

  /** Queues a block; one too many, or one that is there, is passed over. The data must not be changed afterwards. */
  write(content: BlockContent, depth: number): void {
    const path = pathOf({ ...content, depth });
    const bytes = content.data.byteLength;
    if (this.#refused || this.#entries.has(path) || this.#waiting + bytes > this.#options.queueBytes) return;
    this.#waiting += bytes;
    const era = this.#era;
    this.#tail = this.#tail.then(async () => {
      try {
        if (!this.#refused && this.#era === era) await this.#write(path, content, depth);
      } catch (error) {
        this.#refused = true;
        this.#options.onRefusal?.(error);
      } finally {
        this.#waiting -= bytes;
      }
    });
  }

  /** Whether there is such a file, perhaps of another process. */
  async has(address: Address): Promise<boolean> {
    const path = pathOf(address);
    if (this.#entries.has(path)) return true;
    try {
      const { size, mtimeMs } = await stat(join(this.#options.directory, path));
      this.#note(path, { bytes: size, depth: address.depth, used: mtimeMs });
      return true;
    } catch {
      // Whatever keeps it from being read, it is not there for us.
      return false;
    }
  }

  /** The data of a block, or null; a file that is not what its name says is removed. */
  async read(want: Omit<BlockContent, "data">, depth: number): Promise<Uint8Array | null> {
    const path = pathOf({ ...want, depth });
    const full = join(this.#options.directory, path);
    let bytes: Uint8Array;
    try {
      bytes = await readFile(full);
    } catch {
      // Gone, or unreadable: as good as absent.
      this.#forget(path);
      return null;
    }
    const data = decodeBlock(bytes, want);
    if (data === null) await this.#remove(path);
    else this.#use(path, full);
    return data;
  }

  /** Removes all blocks. */
  async clear(): Promise<void> {
    this.#era++;
    await this.flush();
    await this.#scan();
    for (const path of [...this.#entries.keys()]) await this.#remove(path);
  }

  /** Waits for what is queued. */
  async flush(): Promise<void> {
    await this.#tail;
  }

  async #write(path: string, content: BlockContent, depth: number): Promise<void> {
    const [header, data] = encodeBlock(content);
    const bytes = header.byteLength + data.byteLength;
    if (bytes > this.#options.limitBytes) return;
    if (--this.#writesToScan <= 0) await this.#scan();
    await this.#shrinkTo(this.#options.limitBytes - bytes);
    const full = join(this.#options.directory, path);
    const partial = join(dirname(full), `.${path.split("/")[1]!.replace(".safetensors", "")}.${randomUUID()}.partial`);
    try {
      await mkdir(dirname(full), { recursive: true, mode: 0o700 });
      await this.#options.writeFile(partial, [header, data]);
      await rename(partial, full);
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
    this.#note(path, { bytes, depth, used: Date.now() });
  }

  /** Least recently used first, of those the ends of chains first. */
  async #shrinkTo(bytes: number): Promise<void> {
    if (this.#bytes <= bytes) return;
    await this.#scan();
    const era = ({ used }: Entry) => Math.floor(used / USE_MS);
    const order = [...this.#entries].sort(([, a], [, b]) => era(a) - era(b) || b.depth - a.depth);
    // A little more than must be, or every write would sort all entries.
    const goal = bytes - Math.min(bytes, this.#options.limitBytes / 20);
    for (const [path] of order) {
      if (this.#bytes <= goal) return;
      await this.#remove(path);
    }
  }

  /** Takes stock of the directory: other processes write and remove as well. */
  async #scan(): Promise<void> {
    this.#writesToScan = RESCAN_WRITES;
    const { directory } = this.#options;
    const entries = new Map<string, Entry>();
    // Somebody may have removed it.
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const folder of await readdir(directory)) {
      if (!/^[0-9a-f]{2}$/.test(folder)) continue;
      for (const name of await readdir(join(directory, folder)).catch(() => [])) {
        const path = `${folder}/${name}`;
        const found = await stat(join(directory, path)).catch(() => null);
        if (found === null) continue;
        const [, , depth] = NAME.exec(name) ?? [];
        if (depth !== undefined) entries.set(path, { bytes: found.size, depth: Number(depth), used: found.mtimeMs });
        else if (PARTIAL.test(name) && Date.now() - found.mtimeMs > STALE_MS) await rm(join(directory, path), { force: true });
      }
    }
    this.#entries = entries;
    this.#bytes = [...entries.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #note(path: string, entry: Entry): void {
    this.#forget(path);
    this.#entries.set(path, entry);
    this.#bytes += entry.bytes;
  }

  #forget(path: string): void {
    this.#bytes -= this.#entries.get(path)?.bytes ?? 0;
    this.#entries.delete(path);
  }

  async #remove(path: string): Promise<void> {
    this.#forget(path);
    await rm(join(this.#options.directory, path), { force: true }).catch(() => {
      // A file that cannot be removed is one that is not counted: the next scan finds it again.
    });
  }

  #use(path: string, full: string): void {
    const entry = this.#entries.get(path);
    const now = Date.now();
    if (entry && now - entry.used < USE_MS / 2) return;
    if (entry) entry.used = now;
    // For other processes and the next start; without it the file only seems older than it is.
    utimes(full, now / 1000, now / 1000).catch(() => {});
  }
}

function pathOf({ key, kind, depth }: Address): string {
  return `${key.slice(0, 2)}/${key}-${depth}.${kind}.safetensors`;
}

async function writePrivately(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    // The mode of `open` is subject to the process's mask, which can only take away; this is for odd file systems.
    await chmod(path, 0o600);
    for (const part of parts) {
      // A disk that becomes full takes a part first, and says why only when it is asked to take the rest.
      for (let at = 0; at < part.byteLength; ) at += (await file.write(part, at, part.byteLength - at)).bytesWritten;
    }
  } finally {
    await file.close();
  }
}

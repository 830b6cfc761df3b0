/** One file from the hub to the disk: resumable, checked, and visible under its name only when it is whole. */
import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { type HubClient, type Patience, pauseBefore, type RemoteFile } from "./client.ts";
import { ChecksumMismatch, ConnectionFailure, isTransient } from "./failure.ts";
import type { ProgressReport } from "./progress.ts";

/** A name of our own: other tools keep theirs, and two writers in one file would spoil it. */
export const partialPath = (blob: string) => `${blob}.mlx-cb.incomplete`;

/**
 * Fetches a file to `blob`. What an earlier try left is kept and gone on from, also when this one fails; only content with
 * the wrong checksum is thrown away, and fetched once more.
 */
export async function fetchBlob(
  client: Pick<HubClient, "open">,
  commit: string,
  file: RemoteFile,
  blob: string,
  report: ProgressReport,
  patience: Patience,
): Promise<void> {
  const partial = partialPath(blob);
  const handle = await open(partial, "a+");
  try {
    for (let second = false; ; second = true) {
      const digest = await receive(client, commit, file, handle, report, patience);
      if (digest === file.oid) break;
      report.advance(-(await handle.stat()).size);
      await handle.truncate(0);
      if (second) {
        await unlink(partial);
        throw new ChecksumMismatch(`the checksum of ${file.path} is wrong`);
      }
      report.note(`the checksum of ${file.path} is wrong: fetching it again`);
    }
    // The name must not be on the disk before the content is.
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(partial, blob);
}

/** Brings the file to its full size, through dropped connections. Returns its checksum, or null when there is too much of it. */
async function receive(
  client: Pick<HubClient, "open">,
  commit: string,
  file: RemoteFile,
  handle: FileHandle,
  report: ProgressReport,
  patience: Patience,
): Promise<string | null> {
  let offset = (await handle.stat()).size;
  let hash = await hashStart(file, handle, offset);

  const startOver = async () => {
    await handle.truncate(0);
    report.advance(-offset);
    offset = 0;
    hash = startHash(file);
  };
  const takeRest = async () => {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), patience.silenceMs);
    try {
      const response = await client.open(commit, file.path, offset, silence.signal);
      if (offset > 0 && response.status !== 206) await startOver();
      const from = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
      if (offset > 0 && Number(from) !== offset) throw new ConnectionFailure("the hub sent another range than the one asked for");
      for await (const chunk of readBody(response, silence.signal)) {
        clearTimeout(timer);
        await writeAll(handle, chunk);
        hash.update(chunk);
        offset += chunk.length;
        report.advance(chunk.length);
        if (offset > file.size) return;
        timer = setTimeout(() => silence.abort(), patience.silenceMs);
      }
      if (offset < file.size) throw new ConnectionFailure("the connection broke off");
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  };

  if (offset > file.size) await startOver();
  let failures = 0;
  while (offset < file.size) {
    const before = offset;
    try {
      await takeRest();
    } catch (error) {
      failures = offset > before ? 1 : failures + 1;
      if (!isTransient(error) || failures > patience.retries) throw error;
      report.note(`${file.path}: ${(error as Error).message}; trying again`);
      await Bun.sleep(pauseBefore(failures, patience, error));
    }
  }
  return offset === file.size ? hash.digest("hex") : null;
}

async function* readBody(response: Response, silence: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  for (;;) {
    const { done, value } = await reader.read().catch((error: Error) => {
      throw new ConnectionFailure(silence.aborted ? "the connection fell silent" : `the connection broke off (${error.message})`);
    });
    if (done) return;
    yield value;
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    written += (await handle.write(bytes, written, bytes.length - written)).bytesWritten;
  }
}

function startHash(file: RemoteFile): Bun.CryptoHasher {
  if (file.oid.length === 64) return new Bun.CryptoHasher("sha256");
  return new Bun.CryptoHasher("sha1").update(`blob ${file.size}\0`);
}

/** The hash of what is there already. */
async function hashStart(file: RemoteFile, handle: FileHandle, length: number): Promise<Bun.CryptoHasher> {
  const hash = startHash(file);
  const buffer = new Uint8Array(1 << 20);
  for (let position = 0; position < length; ) {
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - position), position);
    if (bytesRead === 0) break;
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
  return hash;
}

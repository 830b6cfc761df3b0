import { type FileHandle, open, stat } from "node:fs/promises";
import { ServeError, StartupError } from "../errors.ts";
import { oneLine } from "./wording.ts";

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EACCES: "cannot be read: permission denied",
  EPERM: "cannot be read: permission denied",
  EISDIR: "is a directory where a file is needed",
  ENOTDIR: "has a file where a directory is needed in its path",
  ELOOP: "is a circle of symbolic links",
  ENAMETOOLONG: "has too long a name",
  EMFILE: "cannot be opened: too many open files",
  ENFILE: "cannot be opened: too many open files",
  EIO: "cannot be read: the disk reports an error",
};

/** What went wrong with a file of the model, as one sentence; a `ServeError` stays as it is. */
export function fileError(error: unknown, path: string): ServeError {
  if (error instanceof ServeError) return error;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const detail = error instanceof Error ? error.message : String(error);
  const reason = REASONS[code] ?? `cannot be read: ${code || oneLine(detail)}`;
  return new StartupError(`${path} ${reason}`, { cause: error });
}

/**
 * Opens a regular file for `use` and closes it again. Pipes and devices are refused before they are opened, which could wait forever.
 * Whatever goes wrong is a `StartupError` that names the file.
 */
export async function withFile<T>(path: string, use: (file: FileHandle, size: number) => Promise<T>): Promise<T> {
  let file: FileHandle | null = null;
  try {
    const found = await stat(path);
    if (found.isDirectory()) throw new StartupError(`${path} is a directory where a file is needed`);
    if (!found.isFile()) throw new StartupError(`${path} is not a regular file`);
    file = await open(path, "r");
    return await use(file, (await file.stat()).size);
  } catch (error) {
    throw fileError(error, path);
  } finally {
    await file?.close();
  }
}

/** Exactly `length` bytes from `position`: a file that ends earlier has been changed since it was measured. */
export async function readExactly(file: FileHandle, path: string, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let got = 0;
  while (got < length) {
    const { bytesRead } = await file.read(bytes, got, length - got, position + got);
    if (bytesRead === 0) throw new StartupError(`${path} became shorter while it was read`);
    got += bytesRead;
  }
  return bytes;
}

/** A whole text file. `most` is a bound in bytes, so that a wrong file is refused before it fills the memory. */
export function readModelText(path: string, most: number): Promise<string> {
  return withFile(path, async (file, size) => {
    if (size === 0) throw new StartupError(`${path} is empty`);
    if (size > most) throw new StartupError(`${path} has ${size} bytes, more than the ${most} that such a file may have`);
    return decodeUtf8(await readExactly(file, path, 0, size), path);
  });
}

/** Keeps a byte order mark; bytes that are not UTF-8 are a `StartupError`. */
export function decodeUtf8(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new StartupError(`${what} is not UTF-8 text`, { cause: error });
  }
}

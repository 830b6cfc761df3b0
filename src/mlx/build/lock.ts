import { dlopen } from "bun:ffi";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";

const LOCK_EX = 2;
const LOCK_NB = 4;

/** Runs `work` while no other process holds the lock on `path`. The kernel lets go of it when a process dies. */
export async function withLock<T>(path: string, onWait: () => void, work: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true });
  const libc = dlopen(process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6", {
    flock: { args: ["i32", "i32"], returns: "i32" },
  });
  const file = openSync(path, "a");
  try {
    let told = false;
    while (libc.symbols.flock(file, LOCK_EX | LOCK_NB) !== 0) {
      if (!told) onWait();
      told = true;
      await Bun.sleep(100);
    }
    return await work();
  } finally {
    closeSync(file);
    libc.close();
  }
}

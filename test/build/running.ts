/** Starts the compiled executable as a stranger's machine would: alone in a directory, another user, an empty environment. */
import { chmodSync, chownSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const EXECUTABLE = join(import.meta.dir, "../../dist/mlx-cb-serve");
const NOBODY = 65534;
const isRoot = process.getuid?.() === 0;

export interface Stranger {
  /** Holds the executable and nothing else. */
  directory: string;
  executable: string;
  /** Empty, and the user's own. */
  home: string;
  /** The user's own too, for use as `TMPDIR`. */
  temporary: string;
  remove(): void;
}

export function createStranger(): Stranger {
  if (!existsSync(EXECUTABLE)) throw new Error(`${EXECUTABLE} is missing: run \`bun build.ts executable\` first.`);
  const root = mkdtempSync(join(tmpdir(), "mlx-cb-stranger-"));
  chmodSync(root, 0o755);
  const directory = join(root, "alone");
  const home = join(root, "home");
  mkdirSync(directory);
  const temporary = join(root, "temporary");
  mkdirSync(home);
  mkdirSync(temporary);
  const executable = join(directory, "mlx-cb-serve");
  copyFileSync(EXECUTABLE, executable);
  chmodSync(executable, 0o755);
  if (isRoot) for (const own of [home, temporary]) chownSync(own, NOBODY, NOBODY);
  return { directory, executable, home, temporary, remove: () => rmSync(root, { recursive: true, force: true }) };
}

/** Runs the executable. Only where the tests run as root is the user another one. */
export function spawnStranger(stranger: Stranger, args: readonly string[], env: Record<string, string> = {}) {
  return Bun.spawn([stranger.executable, ...args], {
    cwd: stranger.directory,
    env: { HOME: stranger.home, PATH: "/nonexistent", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
  });
}

export interface Served {
  url: string;
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number>;
}

/** Serves on a free port, resolving once `/health` answers; rejects with the output when the process ends before. */
export async function serve(stranger: Stranger, env: Record<string, string> = {}): Promise<Served> {
  const port = freePort();
  const child = spawnStranger(stranger, ["--port", String(port)], env);
  const output = Promise.all([child.stdout.text(), child.stderr.text()]);
  const url = `http://127.0.0.1:${port}`;
  const deadline = Date.now() + 60_000;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}: ${(await output).join("\n")}`);
    const healthy = await fetch(`${url}/health`).then(
      (response) => response.ok,
      () => false,
    );
    if (healthy) break;
    if (Date.now() > deadline) {
      child.kill("SIGKILL");
      throw new Error(`the server did not answer within a minute: ${(await output).join("\n")}`);
    }
    await Bun.sleep(50);
  }
  const stop = async () => {
    child.kill("SIGTERM");
    return child.exited;
  };
  return { url, stop };
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

/** Starts the compiled executable as a user would: on a free port, with a home of its own. */
import { setDefaultTimeout } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import type { Health } from "../../src/http/health/model.ts";

// Also where a test file is run by itself.
setDefaultTimeout(120_000);

const executable = join(import.meta.dir, "../../dist/mlx-cb-serve");

export interface Served {
  readonly url: string;
  readonly child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly openai: OpenAI;
  /** All that was written to stderr so far. */
  log(): string;
  health(): Promise<Health>;
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number>;
  /** SIGKILL, as when the power fails. */
  kill(): Promise<void>;
}

/** One home for all servers that run at the same time: the libraries are unpacked into it once. */
let home = "";
let users = 0;

function enterHome(): string {
  if (users++ === 0) home = mkdtempSync(join(tmpdir(), "mlx-cb-e2e-"));
  return home;
}

function leaveHome(): void {
  if (--users === 0) rmSync(home, { recursive: true, force: true });
}

export interface StartOptions {
  /** The most bytes that a file may come to have; the libraries must have been unpacked before. */
  fileBytes?: number;
}

function spawn(args: readonly string[], env: Record<string, string>, { fileBytes }: StartOptions = {}) {
  if (!existsSync(executable)) throw new Error(`${executable} is missing: run \`bun build.ts executable\` first.`);
  // The shell counts in blocks of 512 bytes.
  const limited = fileBytes === undefined ? [] : ["/bin/sh", "-c", `ulimit -f ${fileBytes >> 9}; exec "$0" "$@"`];
  return Bun.spawn([...limited, executable, ...args], {
    cwd: home,
    env: { HOME: home, PATH: "/nonexistent", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Resolves once the server has printed its address and `/health` answers. */
export async function startServer(
  args: readonly string[] = [],
  env: Record<string, string> = {},
  options: StartOptions = {},
): Promise<Served> {
  enterHome();
  const child = spawn(env.MLX_CB_PORT ? args : ["--port", "0", ...args], env, options);
  let log = "";
  const logged = follow(child.stderr, (text) => {
    log += text;
  });
  const url = await readUrl(child.stdout);
  if (url === null) {
    await logged;
    leaveHome();
    throw new Error(`the server ended with ${await child.exited}: ${log}`);
  }
  const health = async () => (await (await fetch(`${url}/health`)).json()) as Health;
  if ((await health()).status !== "ok") throw new Error("the server is not healthy");
  let stopping: Promise<number> | null = null;
  const stop = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    const code = await child.exited;
    leaveHome();
    return code;
  };
  return {
    url,
    child,
    openai: new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 }),
    log: () => log,
    health,
    stop: () => {
      stopping ??= stop("SIGTERM");
      return stopping;
    },
    kill: async () => {
      stopping ??= stop("SIGKILL");
      await stopping;
    },
  };
}

/** Starts one whose greeting and log nobody reads; resolves when it answers or has ended. */
export async function startUnread(): Promise<{ url: string; child: Bun.Subprocess }> {
  enterHome();
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  listener.stop(true);
  const child = spawn(["--port", String(listener.port)], {});
  void child.exited.then(leaveHome);
  await Promise.all([child.stdout.cancel(), child.stderr.cancel()]);
  const url = `http://127.0.0.1:${listener.port}`;
  for (let wait = 0; wait < 200 && child.exitCode === null; wait++) {
    if (
      await fetch(`${url}/health`).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      break;
    await Bun.sleep(50);
  }
  return { url, child };
}

/** Runs the executable until it ends by itself. */
export async function runToEnd(args: readonly string[], env: Record<string, string> = {}) {
  enterHome();
  try {
    const child = spawn(args, env);
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { stdout, stderr, code };
  } finally {
    leaveHome();
  }
}

/** The address from the server's greeting; null when it ends without one. */
async function readUrl(stdout: ReadableStream<Uint8Array>): Promise<string | null> {
  const found = Promise.withResolvers<string | null>();
  let text = "";
  void follow(stdout, (more) => {
    text += more;
    const url = /Health\s+(\S+)\/health\n/.exec(text)?.[1];
    if (url !== undefined) found.resolve(url);
  }).then(() => found.resolve(null));
  return found.promise;
}

async function follow(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const bytes of stream) take(decoder.decode(bytes, { stream: true }));
}

/** Waits until something of the server's state is so. */
export async function until(server: Served, holds: (health: Health) => boolean, seconds = 30): Promise<Health> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const health = await server.health();
    if (holds(health)) return health;
    if (performance.now() > deadline) throw new Error(`not within ${seconds} s: ${JSON.stringify(health)}\n${server.log()}`);
    await Bun.sleep(5);
  }
}

/** Bytes that are in use but for computed prefixes, which are kept for later. */
export const heldBytes = ({ stats }: Health) => stats.active_memory_bytes - stats.prefix_cache_bytes;

export const isIdle = ({ queue_size, active_requests, stats }: Health) =>
  queue_size === 0 && active_requests === 0 && stats.kv_bytes === 0;

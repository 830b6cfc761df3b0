/** Starts one server, waits until it answers, ends it with all that it has started. */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { complete, type Target } from "../../src/bench/stream.ts";
import { BENCH_DIR, describeLaunch, type Launch } from "./peers.ts";

export interface Server {
  target: Target;
  pid: number;
  startMs: number;
  stop(): Promise<void>;
}

const startLimitMs = 240_000;
const running = new Set<number>();

// Whatever ends the measuring ends the servers with it.
process.on("exit", () => {
  for (const pid of running) signal(pid, "SIGKILL");
});
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => process.exit(130));

/** Throws when the server does not come up; its output is in the logs folder. */
export async function startServer(
  peer: string,
  model: { name: string; directory: string },
  environment: Record<string, string> = {},
): Promise<Server> {
  const port = freePort();
  const launch = describeLaunch(peer, model, port);
  if (launch === null) throw new Error(`There is no peer ${peer}.`);
  const logFile = join(BENCH_DIR, "logs", `${peer}-${model.name}.log`);
  const begun = performance.now();
  const { pid, exited } = launchProcess({ ...launch, environment: { ...launch.environment, ...environment } }, logFile);
  const target: Target = { url: new URL(`http://127.0.0.1:${port}`), model: launch.model, apiKey: null };
  const stop = async () => {
    for (const [name, limit] of [
      ["SIGTERM", 10_000],
      ["SIGKILL", 5000],
    ] as const) {
      signal(pid, name);
      if (await Promise.race([exited.then(() => true), Bun.sleep(limit)])) break;
    }
    // What it has started may outlive it.
    signal(pid, "SIGKILL");
    running.delete(pid);
  };
  try {
    await waitUntilReady(target, exited, logFile);
    if (launch.openblas && !usesOpenBlas(pid)) throw new Error(`${peer} runs without OpenBLAS: see ${logFile}`);
  } catch (error) {
    await stop();
    throw error;
  }
  return { target, pid, startMs: performance.now() - begun, stop };
}

/** In a process group of its own, which is named by its id. */
function launchProcess({ command, environment }: Launch, logFile: string): { pid: number; exited: Promise<void> } {
  mkdirSync(join(BENCH_DIR, "logs"), { recursive: true });
  const log = openSync(logFile, "w");
  writeSync(log, `${command.join(" ")}\n`);
  if (environment.HOME) mkdirSync(environment.HOME, { recursive: true });
  const child = spawn(command[0]!, command.slice(1), {
    cwd: BENCH_DIR,
    env: { ...process.env, ...environment },
    stdio: ["ignore", log, log],
    detached: true,
  });
  closeSync(log);
  const exited = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  if (child.pid === undefined) throw new Error(`${command[0]} cannot be started`);
  running.add(child.pid);
  return { pid: child.pid, exited };
}

async function waitUntilReady(target: Target, exited: Promise<void>, logFile: string): Promise<void> {
  let ended = false;
  void exited.then(() => {
    ended = true;
  });
  const deadline = performance.now() + startLimitMs;
  let last: string | null = null;
  while (performance.now() < deadline) {
    if (ended) throw new Error(`the server has ended: see ${logFile}`);
    ({ error: last } = await complete(target, { prompt: "hi", maxTokens: 2, timeoutMs: 120_000 }));
    if (last === null) return;
    await Bun.sleep(250);
  }
  throw new Error(`the server does not answer (${last}): see ${logFile}`);
}

/** A library that cannot be preloaded is left out with a warning that nobody reads. */
function usesOpenBlas(pid: number): boolean {
  const read = (file: string) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, "utf8");
    } catch {
      return "";
    }
  };
  if (/openblas/.test(read("maps"))) return true;
  return read(`task/${pid}/children`)
    .split(" ")
    .some((child) => child.trim() !== "" && usesOpenBlas(Number(child)));
}

function signal(group: number, name: NodeJS.Signals): void {
  try {
    process.kill(-group, name);
  } catch {
    // It has ended.
  }
}

function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

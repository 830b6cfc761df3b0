import type { Log } from "./log.ts";

export interface Running {
  /** The HTTP server: `stop()` takes no more connections, closes idle ones and ends when the last answer is sent. */
  listener: { stop(closeActiveConnections?: boolean): Promise<void> };
  /** Lets what runs finish within the grace period, then cancels it. */
  engine: { close(options: { graceMs: number }): Promise<void> };
  activeRequests: () => number;
  graceMs: number;
  log: Log;
  exit: (code: number) => void;
}

/** What the last bytes of cancelled answers get to reach their clients. */
const flushMs = 2000;

/**
 * The first SIGTERM or SIGINT ends the service in order, with exit code 0; a second one ends the process at once, with the
 * code that a shell gives to that signal.
 */
export function stopOnSignals(running: Running, signals: Pick<NodeJS.EventEmitter, "on"> = process): void {
  let stopping = false;
  const codes = { SIGINT: 130, SIGTERM: 143 } as const;
  for (const [signal, code] of Object.entries(codes)) {
    signals.on(signal, () => {
      if (stopping) return running.exit(code);
      stopping = true;
      void stop(running, signal);
    });
  }
}

async function stop({ listener, engine, activeRequests, graceMs, log, exit }: Running, signal: string): Promise<void> {
  log.info(`${signal}: stopping; running requests may take up to ${graceMs / 1000} s, once more ends them at once`, {
    active: activeRequests(),
  });
  try {
    const answered = listener.stop();
    // The engine keeps the grace period itself; whatever holds it up must not hold up the exit.
    await Promise.race([engine.close({ graceMs }), Bun.sleep(graceMs + flushMs)]);
    await Promise.race([answered, Bun.sleep(flushMs)]);
    await Promise.race([listener.stop(true), Bun.sleep(flushMs)]);
    log.info("stopped");
  } catch (error) {
    log.error("stopping failed", { error });
  }
  exit(0);
}

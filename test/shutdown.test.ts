import { describe, expect, test } from "bun:test";
import { EventEmitter } from "node:events";
import { join } from "node:path";
import { silentLog } from "../src/log.ts";
import { type Running, stopOnSignals } from "../src/shutdown.ts";

const source = join(import.meta.dir, "../src");

function imitate(changes: Partial<Running> = {}) {
  const signals = new EventEmitter();
  const events: string[] = [];
  const exit = Promise.withResolvers<number>();
  stopOnSignals(
    {
      listener: {
        stop: async (force) => {
          events.push(force ? "cut" : "stop listening");
        },
      },
      engine: {
        close: async ({ graceMs }) => {
          events.push(`close ${graceMs}`);
        },
      },
      activeRequests: () => 2,
      graceMs: 1500,
      log: silentLog,
      exit: exit.resolve,
      ...changes,
    },
    signals,
  );
  return { signals, events, code: exit.promise };
}

describe("the first signal", () => {
  test("stops in order and exits with 0", async () => {
    for (const signal of ["SIGTERM", "SIGINT"]) {
      const { signals, events, code } = imitate();
      signals.emit(signal);
      expect(await code).toBe(0);
      expect(events).toEqual(["stop listening", "close 1500", "cut"]);
    }
  });

  test("an engine that fails to close does not hold up the exit", async () => {
    const { signals, code } = imitate({ engine: { close: () => Promise.reject(new Error("broken")) } });
    signals.emit("SIGTERM");
    expect(await code).toBe(0);
  });
});

test("a second signal exits at once", async () => {
  for (const [signal, expected] of [["SIGINT", 130] as const, ["SIGTERM", 143] as const]) {
    const { signals, code } = imitate({ engine: { close: () => new Promise(() => {}) } });
    signals.emit("SIGTERM");
    signals.emit(signal);
    expect(await code).toBe(expected);
  }
});

/** A server process with a stream of 1.5 seconds, and an engine that waits for it as the real one does. */
async function start(graceMs: number) {
  const script = `
    import { listen } from ${JSON.stringify(join(source, "listen.ts"))};
    import { createLog } from ${JSON.stringify(join(source, "log.ts"))};
    import { stopOnSignals } from ${JSON.stringify(join(source, "shutdown.ts"))};
    let [cancelled, running] = [false, 0];
    const stream = async function* () {
      running++;
      for (let i = 0; i < 15 && !cancelled; i++) { yield "tick\\n"; await Bun.sleep(100); }
      yield cancelled ? "cancelled" : "whole";
      running--;
    };
    const listener = listen({ host: "127.0.0.1", port: 0 }, () => new Response(stream()));
    const close = async ({ graceMs }) => {
      const end = Date.now() + graceMs;
      while (running > 0 && Date.now() < end) await Bun.sleep(10);
      cancelled = true;
    };
    const log = createLog({ level: "info", format: "text", write: (line) => process.stderr.write(line) });
    stopOnSignals({ listener, engine: { close }, activeRequests: () => running, graceMs: ${graceMs}, log, exit: process.exit });
    console.log(listener.port);`;
  const child = Bun.spawn(["bun", "-e", script], { stdout: "pipe", stderr: "pipe" });
  const { value } = await child.stdout.getReader().read();
  const url = `http://127.0.0.1:${new TextDecoder().decode(value).trim()}/`;
  const response = await fetch(url);
  return { child, url, text: response.text() };
}

describe("a real process", () => {
  test("lets a running stream finish, takes nothing new, exits with 0", async () => {
    const { child, url, text } = await start(10_000);
    child.kill("SIGTERM");
    await Bun.sleep(300);
    const late = await fetch(url).then(
      () => "answered",
      () => "refused",
    );
    expect(late).toBe("refused");
    expect(await text).toEndWith("whole");
    expect(await child.exited).toBe(0);
    expect(await new Response(child.stderr).text()).toContain("SIGTERM: stopping");
  });

  test("cancels it when the grace period is over, exits with 0", async () => {
    const { child, text } = await start(300);
    child.kill("SIGINT");
    expect(await text).toEndWith("cancelled");
    expect(await child.exited).toBe(0);
  });

  test("exits at once on the second signal", async () => {
    const { child, text } = await start(10_000);
    text.catch(() => {});
    child.kill("SIGTERM");
    await Bun.sleep(200);
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
  });
});

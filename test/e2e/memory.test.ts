import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { ask, askWhole, lengthy } from "./ask.ts";
import { heldBytes, isIdle, startServer, until } from "./serve.ts";

/** Megabytes of physical memory that a process holds. */
function residentMegabytes(pid: number): number {
  if (process.platform === "linux") return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;
  return Number(Bun.spawnSync(["ps", "-o", "rss=", "-p", String(pid)]).stdout.toString()) / 1024;
}

test("memory does not grow over rounds of short requests, a part of them left", async () => {
  const server = await startServer();
  try {
    const weights = heldBytes(await server.health());
    const round = async () => {
      const all = Array.from({ length: 200 }, async (_, index) => {
        await Bun.sleep((index % 50) * 5);
        if (index % 10 !== 0) return void (await (index % 2 ? ask : askWhole)(server.openai, lengthy(4 + (index % 20), index)));
        const signal = AbortSignal.timeout(20 + index);
        await ask(server.openai, lengthy(4000, index), { signal }).catch(() => null);
      });
      await Promise.all(all);
      const health = await until(server, isIdle);
      expect(heldBytes(health)).toBeLessThanOrEqual(weights * 1.05);
      const { stats } = health;
      // What MLX keeps for reuse has a limit of its own, and takes many rounds to come near it.
      return residentMegabytes(server.child.pid) - stats.cache_memory_bytes / 2 ** 20;
    };
    const first = await round();
    await round();
    expect(await round()).toBeLessThan(first * 1.2 + 30);
  } finally {
    expect(await server.stop()).toBe(0);
  }
});

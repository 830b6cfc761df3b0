/** Clients for Python, each as a program would use it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { type Check, checkProvider } from "./provider-check.ts";
import { runPython, scriptPath } from "./python.ts";
import { isIdle, type Served, startServer, until } from "./serve.ts";

const pongAdapter = join(import.meta.dir, "../fixtures/models/pong-adapter");

let server: Served;
beforeAll(async () => {
  // The first run on a machine installs the packages.
  await runPython(["--version"]);
  server = await startServer(["--adapter", `pong=${pongAdapter}`]);
}, 600_000);
afterAll(() => server?.stop());

for (const client of ["openai", "anthropic", "langchain", "agents"]) {
  test(client, async () => {
    const pytest = ["-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short", scriptPath(`test_${client}.py`)];
    const { exitCode, stdout, stderr } = await runPython(pytest, { MLX_URL: server.url });
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
    expect(stdout).toMatch(/\d+ passed/);
    await until(server, isIdle);
  });
}

const troubles = (checks: readonly Check[]) => checks.filter(({ status }) => status !== "pass").map(({ id }) => id);

test("trustedrouter-provider-check, tiers 1 to 4", async () => {
  // An adapter, because the embedded model by itself cannot say the word that is asked for.
  const { exitCode, checks } = await checkProvider(server.url, "pong", 4);
  // Left out by the tool itself: nothing is declared to its market place.
  expect(troubles(checks)).toEqual(["catalog.declared-v2"]);
  expect(new Set(checks.map(({ tier }) => tier))).toEqual(new Set([1, 2, 3, 4]));
  expect(exitCode).toBe(0);
});

test("trustedrouter-provider-check, tier 5: tools and structured output", async () => {
  const { checks } = await checkProvider(server.url, "tiny-chat", 5);
  const last = checks.filter(({ tier }) => tier === 5);
  expect(last.length).toBeGreaterThan(3);
  expect(troubles(last)).toEqual([]);
});

/** Clients for Python, each as a program would use it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { runPython, scriptPath } from "./python.ts";
import { isIdle, type Served, startServer, until } from "./serve.ts";

let server: Served;
beforeAll(async () => {
  server = await startServer();
  // The first run on a machine installs the packages.
  await runPython(["-c", "import openai"]);
}, 600_000);
afterAll(() => server.stop());

for (const client of ["openai", "anthropic", "langchain", "agents"]) {
  test(client, async () => {
    const pytest = ["-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short", scriptPath(`test_${client}.py`)];
    const { exitCode, stdout, stderr } = await runPython(pytest, { MLX_URL: server.url });
    expect(exitCode, `${stdout}${stderr}`).toBe(0);
    expect(stdout).toMatch(/\d+ passed/);
    await until(server, isIdle);
  });
}

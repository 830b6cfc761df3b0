import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { describeHeadline, type Headline, headlineSizes, quickSizes, runHeadline } from "../../src/bench/headline.ts";
import { findTarget } from "../../src/bench/target.ts";
import { parseConfig } from "../../src/config.ts";
import { serveImitation, serveRaw } from "./answering.ts";

let server: ReturnType<typeof serveImitation>;
beforeAll(() => {
  server = serveImitation();
});
afterAll(() => server.stop());

test("the loads that others publish", () => {
  expect(headlineSizes.loads.map(({ streams, tokens }) => `${streams}×${tokens}`)).toEqual([
    "8×500",
    "16×300",
    "32×200",
    "64×150",
  ]);
  expect(headlineSizes.mixed).toEqual({ count: 4, longTokens: 200, shortTokens: 20 });
});

test("every request is answered in full, and no prompt is asked twice", async () => {
  const target = await findTarget(server.url, null, null);
  const progress: string[] = [];
  const result = await runHeadline(target, quickSizes, (text) => progress.push(text));
  expect(result.model).toBe("tiny-chat");
  expect(result.loads.map(({ figures }) => figures.outputTokens)).toEqual([400, 480, 640, 960]);
  for (const { figures } of result.loads) {
    expect(figures).toMatchObject({ errors: 0, short: 0 });
    expect(figures.tokensPerSecond).toBeGreaterThan(0);
  }
  expect(result.mixed.shortOverLong).toBeGreaterThan(0);
  expect(progress).toHaveLength(6);
  const prompts = server.engine.encoded.map(({ text }) => text.slice(0, 16));
  expect(new Set(prompts).size).toBe(prompts.length);
  const shown = describeHeadline(result).split("\n");
  expect(shown[2]).toMatch(/^streams × tokens +tok\/s +TTFT p50 +ITL p50$/);
  expect(shown[3]).toMatch(/^ +8 × 50 +[\d.]+ +[\d.]+ ms +[\d.]+ ms$/);
});

describe("what is not a server", () => {
  test("is one sentence", async () => {
    const gone = serveRaw([]);
    gone.stop();
    await expect(findTarget(gone.target.url.href, null, null)).rejects.toThrow(/^Nothing answers at http:.*\/v1\/models: /);
    await expect(findTarget(`${server.url}/none`, null, null)).rejects.toThrow(/answers 404/);
    const target = { ...server.target, model: "other" };
    await expect(runHeadline(target, quickSizes, () => {})).rejects.toThrow(/^4 of 4 requests failed, the first with: HTTP 404/);
  });

  test("the base URL of a client will do, and a model's name asks nothing", async () => {
    expect((await findTarget(`${server.url}/v1/`, null, null)).url.href).toBe(`${server.url}/`);
    expect(await findTarget("http://127.0.0.1:1", "m", "k")).toMatchObject({ model: "m", apiKey: "k" });
  });
});

describe("the verb", () => {
  const main = join(import.meta.dir, "../../src/main.ts");
  const run = async (...args: string[]) => {
    const child = Bun.spawn(["bun", main, "bench", ...args], {
      env: { PATH: process.env.PATH, HOME: "/nonexistent" },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { stdout, stderr, code };
  };

  test("options", () => {
    const parse = (...args: string[]) => parseConfig(["bench", ...args], {});
    expect(parse()).toMatchObject({ action: "bench", url: null, json: false, quick: false, model: null });
    expect(parse("--url", "http://h:1/v1", "--json", "-m", "x")).toMatchObject({ url: "http://h:1/v1", json: true, model: "x" });
    expect(parse("--help")).toEqual({ action: "help" });
    expect(() => parse("--url", "h:1")).toThrow("--url must be a URL that begins with http:// or https://");
    expect(() => parseConfig(["--json"], {})).toThrow("Unknown option --json");
  });

  test("measures a running server", async () => {
    const { stdout, code } = await run("--url", server.url, "--quick", "--json");
    const result = JSON.parse(stdout) as Headline;
    expect(result.loads.map(({ streams }) => streams)).toEqual([8, 16, 32, 64]);
    expect(code).toBe(0);
  });

  test("measures the embedded model", async () => {
    const { stdout, stderr, code } = await run("--quick");
    expect(stdout).toContain("Model: tiny-chat");
    expect(stdout).toContain("short ÷ long");
    expect(stdout).not.toContain("ended before their length");
    expect(stderr).toContain("warming up");
    expect(code).toBe(0);
  }, 60_000);

  test("fails in one sentence", async () => {
    const { stdout, stderr, code } = await run("--url", "http://127.0.0.1:9");
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    expect(stderr).toMatch(/^mlx-cb-serve: Nothing answers at /);
  });
});

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { createStranger, type Served, type Stranger, serve, spawnStranger } from "./running.ts";

interface Completion {
  choices: { message: { role: string; content: string }; finish_reason: string }[];
  usage: { completion_tokens: number };
}

async function chat(served: Served): Promise<Completion> {
  const response = await fetch(`${served.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages: [{ role: "user", content: "Hello" }], max_tokens: 8, temperature: 0 }),
  });
  expect(response.status).toBe(200);
  return (await response.json()) as Completion;
}

/** Asks once and stops; the answer is the same however the libraries came to be where they are. */
async function answerOf(stranger: Stranger, env: Record<string, string> = {}): Promise<string> {
  const served = await serve(stranger, env);
  try {
    return (await chat(served)).choices[0]?.message.content ?? "";
  } finally {
    await served.stop();
  }
}

describe("the executable, alone, as another user, with an empty home and no other program", () => {
  let stranger: Stranger;
  beforeAll(() => {
    stranger = createStranger();
  });
  afterAll(() => stranger.remove());

  test("prints its version without extracting anything", async () => {
    const child = spawnStranger(stranger, ["--version"]);
    expect((await child.stdout.text()).trim()).toContain(packageJson.version);
    expect(await child.exited).toBe(0);
    expect(readdirSync(stranger.home)).toEqual([]);
  });

  test("serves a chat completion and stops on SIGTERM", async () => {
    const served = await serve(stranger);
    const health = await fetch(`${served.url}/health`);
    expect(((await health.json()) as { status: string }).status).toBe("ok");
    const completion = await chat(served);
    expect(completion.choices[0]?.message.role).toBe("assistant");
    expect(completion.choices[0]?.message.content).not.toBe("");
    expect(completion.usage.completion_tokens).toBeGreaterThan(0);
    expect(completion.usage.completion_tokens).toBeLessThanOrEqual(8);
    expect(await served.stop()).toBe(0);
  });

  test("is not influenced by .env and bunfig.toml of the directory it is started in", async () => {
    writeFileSync(join(stranger.directory, ".env"), "MLX_CB_CACHE=/dev/null/nowhere\n");
    writeFileSync(join(stranger.directory, "bunfig.toml"), 'preload = ["./missing.ts"]\n');
    expect(await answerOf(stranger)).not.toBe("");
  });

  test("heals a damaged cache", async () => {
    const expected = await answerOf(stranger);
    const cache = join(stranger.home, ".cache/mlx-cb-serve");
    const native = readdirSync(cache).find((entry) => entry.startsWith("native-")) ?? "";
    const suffix = process.platform === "darwin" ? "dylib" : "so";
    truncateSync(join(cache, native, `mlx/lib/libmlx.${suffix}`), 1000);
    expect(await answerOf(stranger)).toBe(expected);
  });

  test("two first starts at once both serve", async () => {
    const env = { XDG_CACHE_HOME: join(stranger.home, "together") };
    const [first, second] = await Promise.all([answerOf(stranger, env), answerOf(stranger, env)]);
    expect(first).not.toBe("");
    expect(second).toBe(first);
    expect(readdirSync(join(env.XDG_CACHE_HOME, "mlx-cb-serve")).filter((entry) => entry.startsWith("."))).toEqual([]);
  });

  test("serves where the home cannot be written to", async () => {
    const locked = createStranger();
    try {
      if (process.getuid?.() === 0) chownSync(locked.home, 0, 0);
      chmodSync(locked.home, 0o555);
      expect(await answerOf(locked, { TMPDIR: locked.temporary })).not.toBe("");
      expect(readdirSync(locked.temporary)).toHaveLength(1);
      expect(readdirSync(locked.home)).toEqual([]);
    } finally {
      locked.remove();
    }
  });

  test("says in one sentence that the cache directory it was given cannot be used", async () => {
    const child = spawnStranger(stranger, [], { MLX_CB_CACHE: "/dev/null/nowhere" });
    const message = (await child.stderr.text()).trim();
    expect(await child.exited).toBe(1);
    expect(message.split("\n").at(-1)).toContain("Cannot write the embedded files below /dev/null/nowhere");
    expect(message).not.toContain("    at ");
  });
});

import { describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "../../package.json" with { type: "json" };

const main = join(import.meta.dir, "../../src/main.ts");

async function run(argv: string[], env: Record<string, string> = {}) {
  const child = Bun.spawn(["bun", main, ...argv], {
    env: { PATH: process.env.PATH, HOME: join(tmpdir(), "mlx-cb-nobody"), ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { stdout, stderr, code };
}

test("--help and --version answer on stdout", async () => {
  const help = await run(["--help"]);
  expect(help).toMatchObject({ code: 0, stderr: "" });
  expect(help.stdout).toContain("Usage: mlx-cb-serve [--model MODEL] [OPTIONS]");
  expect(await run(["--version"])).toEqual({ code: 0, stdout: `mlx-cb-serve ${version}\n`, stderr: "" });
});

describe("inspect", () => {
  const fixture = (name: string) => join(import.meta.dir, "../fixtures", name);

  test("of the embedded model, for people", async () => {
    const { stdout, stderr, code } = await run(["inspect"]);
    expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
    expect(stdout).toStartWith(
      "tiny-chat\n  architecture  llama\n  parameters    3.44M, 16.00 bits each\n  quantization  none\n",
    );
  });

  test("of a directory, for scripts", async () => {
    const { stdout, stderr, code } = await run(["inspect", fixture("models/tiny-chat-4bit"), "--json", "--memory-limit", "20MB"]);
    expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
    expect(JSON.parse(stdout)).toMatchObject({
      architecture: "llama",
      context_length: 4096,
      parameters: 3_443_136,
      quantization: [{ mode: "affine", bits: 4, group_size: 32 }],
      max_context: 2048,
      kv_bytes_per_token: 6144,
      caches: [{ kind: "full", count: 6 }],
    });
  });

  test("of a model that cannot be served", async () => {
    const { stdout, stderr, code } = await run(["inspect", fixture("models/tiny-chat")]);
    expect({ stdout, code }).toEqual({ stdout: "", code: 1 });
    expect(stderr).toMatch(/^mlx-cb-serve: .* is not a model directory: it has no config\.json\n$/);
  });
});

describe("what cannot start: one sentence, exit code 1, no stack", () => {
  const cases: [name: string, argv: string[], env: Record<string, string>, sentence: RegExp][] = [
    ["an unknown option", ["--prot", "1"], {}, /^Unknown option --prot: did you mean --port\?$/],
    ["a bad value", ["--port", "x"], {}, /^--port must be a port number from 0 to 65535 \(0: any free one\), not "x"\.$/],
    ["a bad variable", [], { MLX_CB_LOG_LEVEL: "loud" }, /^MLX_CB_LOG_LEVEL must be error, warn, info or debug, not "loud"\.$/],
    [
      "a missing directory",
      ["--port", "0", "--model", "/no/such/model"],
      {},
      /^There is no model directory \/no\/such\/model\.$/,
    ],
    [
      "neither a path nor an id",
      ["--port", "0", "-m", "llama"],
      {},
      /^"llama" is neither a directory here nor a Hugging Face id/,
    ],
    [
      "an id that is not here",
      ["--port", "0", "-m", "owner/name"],
      { HF_HUB_OFFLINE: "1" },
      /^"owner\/name" is not whole in the cache .*HF_HUB_OFFLINE/,
    ],
    [
      "a hub out of reach",
      ["--port", "0", "-m", "owner/name"],
      { HF_ENDPOINT: "http://127.0.0.1:9", HF_HOME: tmpdir() },
      /failed: the connection was refused/,
    ],
  ];
  test.each(cases)("%s", async (_, argv, env, sentence) => {
    const { code, stdout, stderr } = await run(argv, env);
    expect(stderr).toStartWith("mlx-cb-serve: ");
    expect(stderr.slice("mlx-cb-serve: ".length).trimEnd()).toMatch(sentence);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  });

  test("a port that is taken, before any model is loaded", async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) =>
      server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)),
    );
    const { code, stderr } = await run(["--port", String(port), "--model", "/no/such/model"]);
    server.close();
    expect(stderr).toBe(
      `mlx-cb-serve: Port ${port} on 127.0.0.1 is taken: choose another with --port, or stop what listens there.\n`,
    );
    expect(code).toBe(1);
  });

  test("--log-level debug adds the stack", async () => {
    const { stderr } = await run(["--port", "0", "--model", "/no/such/model", "--log-level", "debug"]);
    expect(stderr).toContain("resolve.ts");
  });
});

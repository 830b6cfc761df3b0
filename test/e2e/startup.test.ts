import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HubImitation } from "../hub/imitation.ts";
import { ask, askWhole, say } from "./ask.ts";
import { expectGolden, goldenEntries, questionOf } from "./golden.ts";
import { runToEnd, type Served, startServer, startUnread } from "./serve.ts";

const tinyChat = join(import.meta.dir, "../../src/assets/tiny-chat");
const hello = goldenEntries[0]!;
let scratch: string;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "mlx-cb-startup-"));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let models = 0;
/** A copy of the embedded model with something done to it. */
function spoil(change: (path: (name: string) => string) => void): string {
  const directory = join(scratch, `model-${models++}`);
  cpSync(tinyChat, directory, { recursive: true });
  change((name) => join(directory, name));
  return directory;
}

type Header = Record<string, { data_offsets?: [number, number]; shape?: number[]; dtype?: string }>;

/** Rewrites the header of a safetensors file, leaving the data as it is. */
function editHeader(file: string, edit: (header: Header) => void): void {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Header;
  edit(header);
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  writeFileSync(file, Buffer.concat([size, text, bytes.subarray(8 + length)]));
}

function editConfig(file: string, changes: object): void {
  writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, "utf8")) as object), ...changes }));
}

/** Leaves the last tensor out of the file, data and all. */
function dropLastTensor(file: string): string {
  let name = "";
  let end = 0;
  editHeader(file, (header) => {
    const tensors = Object.entries(header).filter(([key]) => key !== "__metadata__");
    const [last, entry] = tensors.sort(([, a], [, b]) => b.data_offsets![0] - a.data_offsets![0])[0]!;
    name = last;
    end = entry.data_offsets![1] - entry.data_offsets![0];
    delete header[last];
  });
  truncateSync(file, readFileSync(file).length - end);
  return name;
}

describe("a model that cannot be served: one sentence, exit code 1", () => {
  const cases: [what: string, model: () => string, says: RegExp][] = [
    ["no such path", () => "/no/such/model", /There is no model directory \/no\/such\/model/],
    ["a file", () => join(tinyChat, "config.json"), /is a file/],
    ["an empty directory", () => spoil((path) => rmSync(path(""), { recursive: true }) ?? mkdirSync(path(""))), /config\.json/],
    [
      "an unknown architecture",
      () => spoil((path) => editConfig(path("config.json"), { model_type: "nope" })),
      /"?nope"?.*llama/,
    ],
    ["a config that is no JSON", () => spoil((path) => writeFileSync(path("config.json"), "{")), /config\.json is not JSON/],
    ["no tokenizer", () => spoil((path) => rmSync(path("tokenizer.json"))), /tokenizer\.json/],
    ["a broken tokenizer", () => spoil((path) => writeFileSync(path("tokenizer.json"), "{}")), /tokenizer/],
    ["no weights", () => spoil((path) => rmSync(path("model.safetensors"))), /safetensors/],
    ["empty weights", () => spoil((path) => writeFileSync(path("model.safetensors"), "")), /model\.safetensors/],
    [
      "weights of noise",
      () => spoil((path) => writeFileSync(path("model.safetensors"), crypto.getRandomValues(new Uint8Array(60_000)))),
      /model\.safetensors/,
    ],
    ["a truncated file", () => spoil((path) => truncateSync(path("model.safetensors"), 1_000_000)), /model\.safetensors.*/],
    ["a file cut within its header", () => spoil((path) => truncateSync(path("model.safetensors"), 500)), /model\.safetensors/],
    ["a missing tensor", () => spoil((path) => dropLastTensor(path("model.safetensors"))), /model\.\S+/],
    [
      "a tensor of another shape",
      () => spoil((path) => editConfig(path("config.json"), { intermediate_size: 513 })),
      /mlp\.(gate|up|down)_proj/,
    ],
    [
      "a tensor of an unknown type",
      () =>
        spoil((path) =>
          editHeader(path("model.safetensors"), (header) => {
            header["model.norm.weight"]!.dtype = "F7";
          }),
        ),
      /F7/,
    ],
    [
      "overlapping tensors",
      () =>
        spoil((path) =>
          editHeader(path("model.safetensors"), (header) => {
            header["model.norm.weight"]!.data_offsets = [0, 384];
          }),
        ),
      /model\.norm\.weight|overlap/,
    ],
  ];
  test.each(cases)("%s", async (_, model, says) => {
    const { code, stdout, stderr } = await runToEnd(["--port", "0", "--model", model()]);
    const lines = stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toStartWith("mlx-cb-serve: ");
    expect(lines[0]).toMatch(says);
    // A fault of the program would say so.
    expect(lines[0]).not.toContain("--log-level debug");
    expect(lines[0]!.length).toBeLessThan(1000);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  });

  test("a missing tensor is named", async () => {
    let name = "";
    const model = spoil((path) => {
      name = dropLastTensor(path("model.safetensors"));
    });
    expect((await runToEnd(["--port", "0", "--model", model])).stderr).toContain(name);
  });

  test("more weights than memory", async () => {
    const { code, stderr } = await runToEnd(["--port", "0", "--memory-limit", "1MB"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^mlx-cb-serve: .*memory limit.*\n$/);
  });
});

test.each(["development", "production"])("a port that is taken: one sentence, exit code 1, NODE_ENV %s", async (mode) => {
  const env = { NODE_ENV: mode };
  const server = await startServer([], env);
  try {
    const { port } = new URL(server.url);
    const { code, stdout, stderr } = await runToEnd(["--port", port], env);
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: "",
      stderr: `mlx-cb-serve: Port ${port} on 127.0.0.1 is taken: choose another with --port, or stop what listens there.\n`,
    });
    expectGolden(hello, await ask(server.openai, questionOf(hello)));
  } finally {
    await server.stop();
  }
});

test("a server whose greeting and log nobody reads serves all the same", async () => {
  const { url, child } = await startUnread();
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    body: JSON.stringify({ prompt: "Hello", max_tokens: 3 }),
  });
  expect(response.status).toBe(200);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});

describe("configuration", () => {
  test("by environment variables", async () => {
    const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const { port } = free;
    free.stop(true);
    const server = await startServer([], {
      MLX_CB_PORT: String(port),
      MLX_CB_HOST: "127.0.0.1",
      MLX_CB_MODEL: tinyChat,
      MLX_CB_API_KEY: "first,s3cr3t",
      MLX_CB_LOG_FORMAT: "json",
      MLX_CB_ACCEPT_ANY_MODEL: "true",
    });
    try {
      expect(server.url).toBe(`http://127.0.0.1:${port}`);
      await expect(ask(server.openai, { messages: say("x") })).rejects.toMatchObject({ status: 401, code: "invalid_api_key" });
      const permitted = server.openai.withOptions({ apiKey: "s3cr3t" });
      const body = { model: "gpt-17", messages: [{ role: "user" as const, content: "Hello!" }], temperature: 0 };
      const answer = await permitted.chat.completions.create(body);
      expect(answer.choices[0]?.message.content).toBe(hello.completion_text);
      for (const line of server.log().trimEnd().split("\n")) expect(JSON.parse(line)).toHaveProperty("level");
      expect(server.log()).not.toContain("s3cr3t");
    } finally {
      await server.stop();
    }
  });

  test("a model is known by its path, its last part and `default`", async () => {
    const server = await startServer(["-m", tinyChat]);
    try {
      for (const model of [tinyChat, "tiny-chat", "default", "", null]) {
        const answer = await askWhole(server.openai, { messages: say("Hello!"), temperature: 0, ...({ model } as object) });
        expect(answer.choices[0]?.text).toBe(hello.completion_text);
      }
      for (const id of [tinyChat, encodeURIComponent(tinyChat)]) {
        const response = await fetch(`${server.url}/v1/models/${id}`);
        expect(((await response.json()) as { id: string }).id).toBe(tinyChat);
      }
      expect((await server.openai.models.retrieve(tinyChat)).id).toBe(tinyChat);
    } finally {
      await server.stop();
    }
  });

  test("a path with spaces and other scripts, over a link", async () => {
    const directory = join(scratch, "ein Modell – 模型");
    symlinkSync(tinyChat, directory);
    const server = await startServer(["--model", directory]);
    try {
      expectGolden(hello, await ask(server.openai, questionOf(hello)));
      expect((await server.openai.models.retrieve(directory)).id).toBe(directory);
    } finally {
      await server.stop();
    }
  });
});

describe("a model by its id", () => {
  let hub: HubImitation;
  let home: string;
  beforeAll(async () => {
    hub = await new HubImitation().start();
    home = join(scratch, "hub-home");
    for (const name of readdirSync(tinyChat)) hub.files.set(name, new Uint8Array(readFileSync(join(tinyChat, name))));
  });
  afterAll(() => hub.stop());

  async function expectServed(server: Served): Promise<void> {
    try {
      expectGolden(hello, await ask(server.openai, questionOf(hello)));
      expect((await server.openai.models.retrieve("owner/name")).id).toBe("owner/name");
      const answer = await askWhole(server.openai, { messages: say("Hello!"), temperature: 0, ...{ model: "name" } });
      expect(answer.choices[0]?.text).toBe(hello.completion_text);
    } finally {
      await server.stop();
    }
  }

  test("is downloaded, and served without the hub the next time", async () => {
    const env = { HF_ENDPOINT: hub.url, HF_HOME: home };
    await expectServed(await startServer(["--model", "owner/name"], env));
    expect(hub.fetched()).toContain("model.safetensors");
    hub.seen.length = 0;
    await expectServed(await startServer(["--model", "owner/name"], { ...env, HF_HUB_OFFLINE: "1" }));
    await expectServed(await startServer(["--model", "owner/name"], { HF_ENDPOINT: "http://127.0.0.1:9", HF_HOME: home }));
    expect(hub.seen).toEqual([]);
  });

  test("that the hub does not know: one sentence, exit code 1", async () => {
    const { code, stderr } = await runToEnd(["--port", "0", "--model", "owner/unknown"], { HF_ENDPOINT: hub.url, HF_HOME: home });
    expect(code).toBe(1);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(stderr).toMatch(/^mlx-cb-serve: .*owner\/unknown/);
  });
});

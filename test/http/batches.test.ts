import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI, { toFile } from "openai";
import { createApp } from "../../src/http/app.ts";
import type { AppOptions } from "../../src/http/context.ts";
import { Storage } from "../../src/http/storage.ts";
import { ImitationServer, script } from "./imitation-server.ts";

const scratch = mkdtempSync(join(tmpdir(), "mlx-cb-batches-"));
const opened: Storage[] = [];

afterAll(async () => {
  for (const storage of opened) await storage.close();
  rmSync(scratch, { recursive: true, force: true });
});

function serve(server: ImitationServer, { directory = null, ...options }: AppOptions & { directory?: string | null } = {}) {
  const storage = Storage.open(directory);
  opened.push(storage);
  const app = createApp(server, { storage, ...options });
  const client = (apiKey = "any") =>
    new OpenAI({
      apiKey,
      baseURL: "http://localhost/v1",
      maxRetries: 0,
      fetch: async (input: string | URL | Request, init?: RequestInit) =>
        app.handle(new Request(input instanceof Request ? input.url : input.toString(), init)),
    });
  return { storage, client, close: () => opened.splice(opened.indexOf(storage), 1)[0]!.close() };
}

/** The message of what a call is refused with. */
async function refusal(call: PromiseLike<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return "accepted";
}

const lineOf = (id: number, body: Record<string, unknown> = {}, url = "/v1/chat/completions") =>
  JSON.stringify({
    custom_id: `line-${id}`,
    method: "POST",
    url,
    body: { messages: [{ role: "user", content: `${id}` }], ...body },
  });

const upload = (openai: OpenAI, lines: readonly string[]) =>
  toFile(Buffer.from(lines.join("\n")), "in.jsonl").then((file) => openai.files.create({ file, purpose: "batch" }));

async function begin(openai: OpenAI, lines: readonly string[]) {
  const file = await upload(openai, lines);
  return openai.batches.create({ input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" });
}

async function finish(openai: OpenAI, id: string): Promise<OpenAI.Batch> {
  for (let i = 0; i < 500; i++) {
    const batch = await openai.batches.retrieve(id);
    if (!["validating", "in_progress", "finalizing", "cancelling"].includes(batch.status)) return batch;
    await Bun.sleep(5);
  }
  throw new Error("the batch does not end");
}

async function readLines(openai: OpenAI, file: string | null | undefined): Promise<Record<string, unknown>[]> {
  const text = await (await openai.files.content(file ?? "")).text();
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

describe("files", () => {
  test("are kept byte by byte, listed page by page, and deleted", async () => {
    const openai = serve(new ImitationServer()).client();
    const content = Buffer.from(Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 31) % 251));
    const made = [];
    for (let i = 0; i < 5; i++)
      made.push(await openai.files.create({ file: await toFile(content, `f${i}.bin`), purpose: "batch" }));
    expect(made[0]).toMatchObject({ object: "file", bytes: content.byteLength, filename: "f0.bin", purpose: "batch" });
    expect(Buffer.from(await (await openai.files.content(made[1]!.id)).arrayBuffer()).equals(content)).toBe(true);
    const listed: string[] = [];
    for await (const file of openai.files.list({ limit: 2 })) listed.push(file.filename);
    expect(listed).toEqual(["f4.bin", "f3.bin", "f2.bin", "f1.bin", "f0.bin"]);
    const ascending = await openai.files.list({ order: "asc", limit: 1 });
    expect(ascending.data.map(({ filename }) => filename)).toEqual(["f0.bin"]);
    expect(await openai.files.delete(made[0]!.id)).toEqual({ id: made[0]!.id, object: "file", deleted: true });
    expect(await refusal(openai.files.retrieve(made[0]!.id))).toMatch(/^404/);
  });

  test("of other keys are not there", async () => {
    const { client } = serve(new ImitationServer(), { apiKeys: ["a", "b"] });
    const file = await upload(client("a"), [lineOf(1)]);
    expect(await refusal(client("b").files.retrieve(file.id))).toMatch(/^404/);
    expect(
      await refusal(
        client("b").batches.create({ input_file_id: file.id, endpoint: "/v1/completions", completion_window: "24h" }),
      ),
    ).toMatch(/input_file_id/);
    expect((await client("b").files.list()).data).toEqual([]);
    expect((await client("a").files.list()).data.length).toBe(1);
  });

  test("a form without a file, or without a purpose, is refused", async () => {
    const openai = serve(new ImitationServer()).client();
    const file = await toFile(Buffer.from("x"), "x");
    expect(await refusal(openai.files.create({ file, purpose: "fine-tune" }))).toMatch(/purpose/);
    expect(await refusal(openai.post("/files", { body: { purpose: "batch" } }))).toMatch(/multipart form/);
  });
});

describe("a batch", () => {
  test("runs in the background, and its answers are in the order of the requests", async () => {
    const server = new ImitationServer();
    server.scripts = [script(["Hello"])];
    const openai = serve(server).client();
    const lines = Array.from({ length: 100 }, (_, i) => lineOf(i, i === 7 ? { temperature: 9 } : {}));
    const batch = await finish(openai, (await begin(openai, [...lines, "", ""])).id);
    expect(batch).toMatchObject({ status: "completed", request_counts: { total: 100, completed: 99, failed: 1 } });
    expect(server.submitted.every(({ request }) => request.background === true)).toBe(true);
    const output = await readLines(openai, batch.output_file_id);
    expect(output.map(({ custom_id }) => custom_id)).toEqual(lines.map((_, i) => `line-${i}`).filter((_, i) => i !== 7));
    expect(output[0]).toMatchObject({
      error: null,
      response: { status_code: 200, body: { object: "chat.completion", choices: [{ message: { content: "Hello" } }] } },
    });
    const [error] = await readLines(openai, batch.error_file_id);
    expect(error).toMatchObject({
      custom_id: "line-7",
      response: { status_code: 400, body: { error: { param: "temperature" } } },
    });
  });

  test.each([
    ["no JSON", ["{"], "invalid_json_line", 1],
    ["another endpoint", [lineOf(1), lineOf(2, {}, "/v1/completions")], "mismatched_endpoint", 2],
    ["an id twice", [lineOf(1), "", lineOf(1)], "duplicate_custom_id", 3],
    ["a stream", [lineOf(1, { stream: true })], "invalid_request", 1],
    ["no custom_id", ['{"method":"POST","url":"/v1/chat/completions","body":{}}'], "invalid_request", 1],
    ["nothing", ["", " "], "empty_file", null],
  ])("with %s fails before anything is run", async (_name, lines, code, line) => {
    const server = new ImitationServer();
    const openai = serve(server).client();
    const batch = await finish(openai, (await begin(openai, lines)).id);
    expect(batch.status).toBe("failed");
    expect(batch.errors?.data?.[0]).toMatchObject({ code, line });
    expect(server.submitted).toEqual([]);
  });

  test("that is cancelled keeps what is done", async () => {
    const server = new ImitationServer();
    server.scripts = [[{ waitMs: 20 }, ...script(["x"])]];
    const openai = serve(server).client();
    const { id } = await begin(
      openai,
      Array.from({ length: 500 }, (_, i) => lineOf(i)),
    );
    while ((await openai.batches.retrieve(id)).request_counts!.completed < 40) await Bun.sleep(2);
    await openai.batches.cancel(id);
    const batch = await finish(openai, id);
    expect(batch.status).toBe("cancelled");
    expect(batch.request_counts!.completed).toBeLessThan(500);
    expect((await readLines(openai, batch.output_file_id)).length).toBe(batch.request_counts!.completed);
    expect(await refusal(openai.batches.cancel((await finish(openai, (await begin(openai, [lineOf(1)])).id)).id))).toMatch(
      /completed/,
    );
  });

  test("goes on after restarts in its middle: no request lost, none answered twice, the files private", async () => {
    const directory = join(scratch, "state");
    const server = new ImitationServer();
    server.scripts = [[{ waitMs: 3 }, ...script(["x"])]];
    const first = serve(server, { directory });
    const { id } = await begin(
      first.client(),
      Array.from({ length: 300 }, (_, i) => lineOf(i)),
    );
    while ((await first.client().batches.retrieve(id)).request_counts!.completed < 50) await Bun.sleep(1);
    await first.close();
    const second = serve(server, { directory });
    while ((await second.client().batches.retrieve(id)).request_counts!.completed < 150) await Bun.sleep(1);
    await second.close();
    const third = serve(server, { directory });
    const batch = await finish(third.client(), id);
    expect(batch).toMatchObject({ status: "completed", request_counts: { total: 300, completed: 300, failed: 0 } });
    const ids = (await readLines(third.client(), batch.output_file_id)).map(({ custom_id }) => custom_id);
    expect(ids).toEqual(Array.from({ length: 300 }, (_, i) => `line-${i}`));
    expect(statSync(join(directory, "state.sqlite")).mode & 0o077).toBe(0);
    expect(statSync(directory).mode & 0o077).toBe(0);
    await third.close();
  });

  test("waits while the server is busy, and is run by one of two servers", async () => {
    const directory = join(scratch, "shared");
    const server = new ImitationServer();
    server.status = "loading";
    const one = serve(server, { directory });
    const two = serve(new ImitationServer(), { directory });
    expect([one.storage.runsBatches, two.storage.runsBatches]).toEqual([true, false]);
    const { id } = await begin(two.client(), [lineOf(1)]);
    one.storage.wake();
    await Bun.sleep(50);
    expect((await two.client().batches.retrieve(id)).status).not.toBe("completed");
    server.status = "ok";
    expect((await finish(two.client(), id)).status).toBe("completed");
    expect(server.submitted.length).toBe(1);
  });
});

import type { Database } from "bun:sqlite";
import { afterEach, expect, test } from "bun:test";
import { BatchRunner } from "../../src/http/batches/runner.ts";
import type { LogLine } from "../../src/http/context.ts";
import { type Batch, BatchStore } from "../../src/storage/batch-store.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { FileStore, now } from "../../src/storage/file-store.ts";

const page = { purpose: null, limit: 10, after: null, ascending: true };
const running: BatchRunner[] = [];
afterEach(async () => {
  for (const runner of running.splice(0)) await runner.stop();
});

/** A runner over a database in memory, whose answers are the requests themselves. */
function prepare(options: { handle?: (request: Request) => Promise<Response> } = {}) {
  const database = openDatabase(null);
  const batches = new BatchStore(database);
  const files = new FileStore(database);
  const lines: LogLine[] = [];
  const echo = async (request: Request) => new Response(await request.text());
  const runner = new BatchRunner({
    batches,
    files,
    handle: options.handle ?? echo,
    ready: () => true,
    log: (line) => void lines.push(line),
    concurrency: 4,
    storageRetryMs: 20,
  });
  running.push(runner);
  return { database, batches, files, runner, lines };
}

async function addBatch({ batches, files }: ReturnType<typeof prepare>, count: number): Promise<string> {
  const line = (i: number) =>
    JSON.stringify({ custom_id: `${i}`, method: "POST", url: "/v1/completions", body: { prompt: `${i}` } });
  const text = Array.from({ length: count }, (_, i) => line(i)).join("\n");
  const input = await files.add("", { filename: "in.jsonl", purpose: "batch" }, [Buffer.from(text)]);
  const times = {
    in_progress_at: null,
    finalizing_at: null,
    completed_at: null,
    failed_at: null,
    expired_at: null,
    cancelling_at: null,
    cancelled_at: null,
  };
  const batch: Batch = {
    id: `batch_${crypto.randomUUID()}`,
    endpoint: "/v1/completions",
    input_file_id: input.id,
    completion_window: "24h",
    status: "validating",
    output_file_id: null,
    error_file_id: null,
    errors: [],
    created_at: now(),
    expires_at: now() + 60,
    metadata: null,
    ...times,
  };
  batches.add("", batch);
  return batch.id;
}

async function untilStatus(batches: BatchStore, id: string, status: Batch["status"]): Promise<Batch> {
  for (let i = 0; i < 500; i++) {
    const batch = batches.get("", id)!;
    if (batch.status === status) return batch;
    await Bun.sleep(5);
  }
  throw new Error(`it is still ${batches.get("", id)?.status}`);
}

const idsOf = (files: FileStore, id: string | null) =>
  [...files.read(id ?? "")]
    .map((bytes) => Buffer.from(bytes).toString())
    .join("")
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { custom_id: string }).custom_id);

test("what a crash has left of an output file is replaced by the next attempt", async () => {
  const parts = prepare();
  const { batches, files, runner } = parts;
  const id = await addBatch(parts, 70);
  runner.start();
  const first = await untilStatus(batches, id, "completed");
  // As if the last thing before the crash had been the file.
  batches.update(id, { status: "finalizing" });
  runner.start();
  const again = await untilStatus(batches, id, "completed");
  expect(again.output_file_id).toBe(first.output_file_id);
  expect(files.list("", page).map(({ purpose }) => purpose)).toEqual(["batch", "batch_output"]);
  expect(idsOf(files, again.output_file_id)).toEqual(Array.from({ length: 70 }, (_, i) => `${i}`));
});

/** Lets the database grow no further, or as far as it wants. */
const limitPages = (database: Database, pages: number) => database.run(`PRAGMA max_page_count = ${pages}`);

test("while the disk is full a batch waits; afterwards it goes on, with nothing lost", async () => {
  let calls = 0;
  const parts = prepare({
    handle: async () => {
      if (++calls === 20) limitPages(parts.database, 1);
      return Response.json({ text: "x".repeat(2000) });
    },
  });
  const { database, batches, files, runner, lines } = parts;
  const id = await addBatch(parts, 100);
  runner.start();
  while (lines.length < 3) await Bun.sleep(5);
  expect(lines[0]).toMatchObject({ level: "error", message: "batches cannot be recorded and wait" });
  expect(batches.get("", id)?.status).toBe("in_progress");
  const { completed } = batches.counts(id);
  expect(completed).toBeWithin(15, 30);
  limitPages(database, 1_000_000);
  const { output_file_id, errors } = await untilStatus(batches, id, "completed");
  expect(errors).toEqual([]);
  expect(idsOf(files, output_file_id)).toEqual(Array.from({ length: 100 }, (_, i) => `${i}`));
});

test("a batch whose request breaks the server fails alone, and nothing of it goes on", async () => {
  let calls = 0;
  const parts = prepare({
    handle: async (request) => {
      calls++;
      if ((await request.text()).includes('"5"')) throw new Error("it broke");
      return new Response("{}");
    },
  });
  const { batches, runner } = parts;
  const broken = await addBatch(parts, 500);
  const sound = await addBatch(parts, 3);
  runner.start();
  const { errors } = await untilStatus(batches, broken, "failed");
  expect(errors).toMatchObject([{ code: "internal_error", message: "Error: it broke" }]);
  await untilStatus(batches, sound, "completed");
  expect(calls).toBeLessThan(40);
});

test("a cancelled batch does not wait for the requests that run", async () => {
  const aborted: string[] = [];
  const parts = prepare({
    handle: (request) =>
      new Promise((resolve) => {
        request.signal.addEventListener("abort", () => {
          aborted.push(request.url);
          resolve(new Response("{}", { status: 499 }));
        });
      }),
  });
  const { batches, runner } = parts;
  const id = await addBatch(parts, 10);
  runner.start();
  await untilStatus(batches, id, "in_progress");
  await Bun.sleep(20);
  batches.update(id, { status: "cancelling" });
  runner.start();
  expect((await untilStatus(batches, id, "cancelled")).output_file_id).toBeNull();
  expect(aborted).toHaveLength(4);
  expect(batches.counts(id)).toEqual({ total: 10, completed: 0, failed: 0 });
});

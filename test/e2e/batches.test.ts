import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type OpenAI from "openai";
import { toFile } from "openai";
import { askWhole, lengthy, say } from "./ask.ts";
import { beginBatch, readOutput, untilBatch, untilEnded } from "./batch-files.ts";
import { goldenEntries, nearTie, questionOf } from "./golden.ts";
import { isIdle, runToEnd, type Served, startServer, until } from "./serve.ts";

const scratch = mkdtempSync(join(tmpdir(), "mlx-cb-batches-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Servers of one test; ended with it, whatever happens. */
async function withServers<T>(use: (start: (...args: string[]) => Promise<Served>) => Promise<T>): Promise<T> {
  const started: Served[] = [];
  try {
    return await use(async (...args) => {
      const server = await startServer(args);
      started.push(server);
      return server;
    });
  } finally {
    await Promise.all(started.map((server) => server.stop()));
  }
}

/** The status of what a call is refused with: the client's promises are not those that `rejects` looks into. */
const refusal = async (call: PromiseLike<unknown>) =>
  call.then(
    () => 200,
    (error: { status?: number }) => error.status,
  );

/** Questions of which the answers are known, and are nothing but text. */
const golden = goldenEntries.filter((entry) => entry.min_margin >= nearTie && !entry.completion_text.includes("</"));
const contentOf = ({ response }: { response: { body: Record<string, unknown> } }) =>
  (response.body as unknown as OpenAI.ChatCompletion).choices[0]?.message.content;

describe("one server", () => {
  test("answers of every endpoint are right, in order, and those that fail are in a file of their own", async () => {
    await withServers(async (start) => {
      const { openai } = await start("--state-dir", "none");
      const bodies: object[] = golden.map((entry) => ({ model: "default", ...questionOf(entry) }));
      bodies.splice(3, 0, { messages: say("x"), temperature: 9 }, { messages: say("x"), model: "unknown" });
      const chats = await beginBatch(openai, bodies);
      const texts = await beginBatch(openai, [{ prompt: "One, two,", max_tokens: 3 }], "/v1/completions");
      const vectors = await beginBatch(openai, [{ input: ["a", "b"] }], "/v1/embeddings");
      const done = await untilEnded(openai, chats.id);
      expect(done).toMatchObject({
        status: "completed",
        request_counts: { total: golden.length + 2, completed: golden.length, failed: 2 },
      });
      const output = await readOutput(openai, done.output_file_id);
      expect(output.map(contentOf)).toEqual(golden.map(({ completion_text }) => completion_text));
      expect(output.map(({ custom_id }) => Number(custom_id.slice(5)))).toEqual(golden.map((_, i) => (i < 3 ? i : i + 2)));
      const errors = await readOutput(openai, done.error_file_id);
      expect(errors.map(({ custom_id, response }) => [custom_id, response.status_code])).toEqual([
        ["line-3", 400],
        ["line-4", 404],
      ]);
      const [text] = await readOutput(openai, (await untilEnded(openai, texts.id)).output_file_id);
      expect(text?.response.body.usage).toMatchObject({ completion_tokens: 3 });
      const [vector] = await readOutput(openai, (await untilEnded(openai, vectors.id)).output_file_id);
      expect(vector?.response.body.data).toHaveLength(2);
      expect((await openai.batches.list()).data.map(({ id }) => id)).toEqual([vectors.id, texts.id, chats.id]);
    });
  });

  test("live requests take the rows from a batch that has all of them, and wait little", async () => {
    await withServers(async (start) => {
      const server = await start("--state-dir", "none", "--max-batch-size", "8");
      const timed = async () => {
        const begun = performance.now();
        expect((await askWhole(server.openai, lengthy(20))).usage?.completion_tokens).toBe(20);
        return performance.now() - begun;
      };
      const median = async () => {
        const times: number[] = [];
        for (let i = 0; i < 9; i++) times.push(await timed());
        return times.sort((a, b) => a - b)[4]!;
      };
      await timed();
      const alone = await median();
      const { id } = await beginBatch(
        server.openai,
        Array.from({ length: 64 }, (_, i) => lengthy(3500, i)),
      );
      await until(server, ({ active_requests }) => active_requests === 8);
      const beside = await median();
      await Promise.all(Array.from({ length: 8 }, timed));
      // None of the batch's requests has ended: they gave way.
      expect((await server.openai.batches.retrieve(id)).request_counts).toEqual({ total: 64, completed: 0, failed: 0 });
      expect(beside / alone).toBeLessThan(15);
      // What runs is ended with the batch, and does not go on for nobody.
      await server.openai.batches.cancel(id);
      expect((await untilEnded(server.openai, id, 5)).status).toBe("cancelled");
      await until(server, isIdle, 5);
    });
  });

  test("files and batches belong to a key", async () => {
    await withServers(async (start) => {
      const { openai } = await start("--state-dir", "none", "--api-key", "a", "--api-key", "b");
      const [a, b] = [openai.withOptions({ apiKey: "a" }), openai.withOptions({ apiKey: "b" })];
      const { id, input_file_id } = await beginBatch(a, [{ messages: say("Hello!"), temperature: 0 }]);
      expect((await untilEnded(a, id)).status).toBe("completed");
      const calls = [b.batches.retrieve(id), b.batches.cancel(id), b.files.content(input_file_id), b.files.delete(input_file_id)];
      expect(await Promise.all(calls.map(refusal))).toEqual([404, 404, 404, 404]);
      expect([(await b.files.list()).data, (await b.batches.list()).data]).toEqual([[], []]);
      expect(await refusal(openai.files.list())).toBe(401);
    });
  });
});

describe("state on disk", () => {
  test("kills and stops in the middle: no request is lost, none answered twice", async () => {
    const directory = join(scratch, "restarts");
    const bodies = Array.from({ length: 100 }, (_, i) => ({ ...questionOf(golden[i % golden.length]!), model: "default" }));
    await withServers(async (start) => {
      const first = await start("--state-dir", directory);
      const { id } = await beginBatch(first.openai, bodies);
      let server = first;
      let completed = 0;
      for (const end of ["kill", "stop", "kill", "stop"] as const) {
        // Now and then before the lines have been looked at, and in the middle of them.
        const some = completed + 8;
        const { request_counts } = await untilBatch(
          server.openai,
          id,
          ({ status, request_counts: counts }) => status !== "validating" && (counts?.completed ?? 0) >= some,
        );
        completed = request_counts!.completed;
        await server[end]();
        server = await start("--state-dir", directory);
        expect((await server.openai.batches.retrieve(id)).request_counts!.completed).toBeGreaterThanOrEqual(completed);
      }
      const batch = await untilEnded(server.openai, id);
      expect(batch).toMatchObject({ status: "completed", request_counts: { total: 100, completed: 100, failed: 0 } });
      const output = await readOutput(server.openai, batch.output_file_id);
      expect(output.map(({ custom_id }) => custom_id)).toEqual(bodies.map((_, i) => `line-${i}`));
      expect(output.map(contentOf)).toEqual(bodies.map((_, i) => golden[i % golden.length]!.completion_text));
      expect((await server.openai.files.list()).data.map(({ purpose }) => purpose)).toEqual(["batch_output", "batch"]);
      for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o022).toBe(0);
      expect(statSync(directory).mode & 0o077).toBe(0);
    });
  });

  test("a kill right after the answer to the upload, and to the order", async () => {
    const directory = join(scratch, "early");
    await withServers(async (start) => {
      const first = await start("--state-dir", directory);
      const content = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 31) % 251));
      const file = await first.openai.files.create({ file: await toFile(content, "data.bin"), purpose: "user_data" });
      const { id } = await beginBatch(first.openai, [{ messages: say("Hello!"), temperature: 0 }]);
      await first.kill();
      const second = await start("--state-dir", directory);
      expect(Buffer.from(await (await second.openai.files.content(file.id)).arrayBuffer()).equals(content)).toBe(true);
      const { output_file_id } = await untilEnded(second.openai, id);
      expect((await readOutput(second.openai, output_file_id)).map(contentOf)).toEqual([goldenEntries[0]!.completion_text]);
    });
  });

  test("of two servers one works off the batches of both, and the other takes over when it is gone", async () => {
    const directory = join(scratch, "two");
    const hello = [{ messages: say("Hello!"), temperature: 0 }];
    await withServers(async (start) => {
      const one = await start("--state-dir", directory);
      const two = await start("--state-dir", directory);
      expect(two.log()).toContain("another server works off the batches");
      const batches = [await beginBatch(two.openai, hello), await beginBatch(one.openai, hello)];
      for (const { id } of batches) expect((await untilEnded(two.openai, id, 10)).status).toBe("completed");
      expect(two.log()).not.toContain("completion id=");
      // Cancelled by way of the one that does not run it.
      const long = await beginBatch(one.openai, [lengthy(3900)]);
      await until(one, ({ active_requests }) => active_requests === 1);
      await two.openai.batches.cancel(long.id);
      expect((await untilEnded(two.openai, long.id, 10)).status).toBe("cancelled");
      await one.kill();
      const last = await beginBatch(two.openai, hello);
      expect((await untilEnded(two.openai, last.id, 10)).status).toBe("completed");
      expect(two.log()).toContain("works off the batches in");
    });
  });

  test("a directory that cannot be used: an error where it was named, a warning where it is the usual one", async () => {
    const blocked = join(scratch, "blocked");
    writeFileSync(blocked, "");
    const { code, stderr } = await runToEnd(["--port", "0", "--state-dir", join(blocked, "state")]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^mlx-cb-serve: the state directory .*blocked\/state cannot be used: [^\n]+\n$/);

    const spoilt = join(scratch, "spoilt");
    mkdirSync(spoilt);
    writeFileSync(join(spoilt, "state.sqlite"), "this is not a database, and was something else before".repeat(100));
    expect((await runToEnd(["--port", "0", "--state-dir", spoilt])).stderr).toMatch(/spoilt cannot be used: [^\n]+\n$/);

    const server = await startServer([], { XDG_STATE_HOME: blocked });
    try {
      expect(server.log()).toMatch(/ warn .*the state directory .*blocked.* kept in memory/);
      const { id } = await beginBatch(server.openai, [{ messages: say("Hello!"), temperature: 0 }]);
      expect((await untilEnded(server.openai, id)).status).toBe("completed");
    } finally {
      await server.stop();
    }
  });

  test("none: nothing is written, and nothing outlives the server", async () => {
    const home = join(scratch, "home");
    const env = { XDG_STATE_HOME: home };
    const server = await startServer(["--state-dir", "none"], env);
    const { id } = await beginBatch(server.openai, [{ messages: say("Hello!"), temperature: 0 }]);
    expect((await untilEnded(server.openai, id)).status).toBe("completed");
    await server.stop();
    expect(existsSync(home)).toBe(false);
    const usual = await startServer([], env);
    try {
      expect(await refusal(usual.openai.batches.retrieve(id))).toBe(404);
      expect(readdirSync(join(home, "mlx-cb-serve"))).toContain("state.sqlite");
    } finally {
      await usual.stop();
    }
  });
});

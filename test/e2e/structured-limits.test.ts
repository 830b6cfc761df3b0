/** Grammars that are slow, large or many, and clients that leave: nobody else is harmed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { APIError } from "openai";
import { ask, askWhole, lengthy, type Question, say } from "./ask.ts";
import { expectGolden, goldenEntries, questionOf } from "./golden.ts";
import { isIdle, type Served, startServer, until } from "./serve.ts";

let server: Served;
beforeAll(async () => {
  server = await startServer(["--max-batch-size", "16", "--prefix-cache-memory", "0"]);
});
afterAll(() => server.stop());

/** Rules in circles that take far longer to compile than is allowed. The seed makes it one that is not known yet. */
const slow = (seed: number): Question => {
  const rules = Array.from({ length: 400 }, (_, i) => {
    return `r${i} ::= [a-z] r${(i + 1) % 400} | r${(i + 7) % 400} [0-9] r${(i + 13) % 400} | "x${seed}"`;
  });
  return withParams({ ebnf: `root ::= r0\n${rules.join("\n")}` });
};

const withParams = (params: object): Question => ({ messages: say("Hello!"), temperature: 0, max_tokens: 200, ...params });
const withSchema = (schema: object) =>
  withParams({ response_format: { type: "json_schema", json_schema: { name: "x", strict: true, schema } } });

async function refusal(answer: Promise<unknown>): Promise<APIError> {
  const error = await answer.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(APIError);
  return error as APIError;
}

/** The slowest of the answers of /health, in ms, until the promise is settled. */
async function slowestHealth(until: Promise<unknown>): Promise<number> {
  let running = true;
  const end = () => {
    running = false;
  };
  void until.then(end, end);
  let slowest = 0;
  while (running) {
    const begun = performance.now();
    await server.health();
    slowest = Math.max(slowest, performance.now() - begun);
    await Bun.sleep(20);
  }
  return slowest;
}

/** Sends a chat request and does not wait for its answer. */
function send(question: Question) {
  const body = JSON.stringify(question);
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  socket.on("error", () => {});
  socket.write(`POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  return socket;
}

const residentBytes = () => 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, "utf8"))?.[1]);

test("a grammar that takes too long is refused; meanwhile others are answered, masked ones too", async () => {
  const refused = refusal(ask(server.openai, slow(1)));
  const health = slowestHealth(refused);
  await Bun.sleep(300);
  let isRefused = false;
  void refused.then(() => {
    isRefused = true;
  });
  const entries = goldenEntries.slice(0, 6);
  await Promise.all(entries.map(async (entry) => expectGolden(entry, await ask(server.openai, questionOf(entry)))));
  const { choices } = await askWhole(server.openai, withSchema({ enum: ["one", "two"] }));
  expect(["one", "two"]).toContain(JSON.parse(choices[0]!.text));
  // Before the slow one is given up.
  expect(isRefused).toBe(false);
  const { status, param, message } = await refused;
  expect({ status, param }).toEqual({ status: 400, param: "ebnf" });
  expect(message).toContain("longer than 10 s");
  expect(await health).toBeLessThan(2000);
  // It is known now.
  const again = performance.now();
  expect((await refusal(askWhole(server.openai, slow(1)))).status).toBe(400);
  expect(performance.now() - again).toBeLessThan(500);
  await until(server, isIdle);
});

test("a client that leaves while its grammar is compiled leaves nothing behind", async () => {
  const sockets = [2, 3, 4].map((seed) => send(slow(seed)));
  await Bun.sleep(400);
  for (const socket of sockets) socket.resetAndDestroy();
  // Nobody waits for these any more: what comes next need not either.
  const begun = performance.now();
  const { choices } = await askWhole(server.openai, withSchema({ enum: ["three", "four"] }));
  expect(["three", "four"]).toContain(JSON.parse(choices[0]!.text));
  // Three would take 14 seconds each.
  expect(performance.now() - begun).toBeLessThan(8000);
  await until(server, isIdle);
});

test("enormous schemas are compiled or refused, and a small one is answered after them", async () => {
  const members = (count: number, inner: object) => ({
    type: "object",
    properties: Object.fromEntries(Array.from({ length: count }, (_, i) => [`member_${i}`, inner])),
    required: Array.from({ length: count }, (_, i) => `member_${i}`),
    additionalProperties: false,
  });
  const large = await ask(server.openai, withSchema(members(1000, { type: "integer", minimum: 0 })));
  expect(large.choices[0]!.text).toStartWith("{");
  const beyond = [members(40_000, { type: "string" }), { enum: Array.from({ length: 60_000 }, (_, i) => `v${i * 7919}`) }];
  for (const schema of beyond) {
    const { status, param } = await refusal(askWhole(server.openai, withSchema(schema)));
    expect({ status, param }).toEqual({ status: 400, param: "response_format" });
  }
  expect((await askWhole(server.openai, withSchema({ const: 5 }))).choices[0]!.text).toBe("5");
  await until(server, isIdle);
});

test("hundreds of different schemas take no more memory than some", async () => {
  let next = 0;
  const run = async (count: number) => {
    for (let done = 0; done < count; done += 10) {
      const values = Array.from({ length: 10 }, () => next++);
      const answers = await Promise.all(
        values.map((value) => {
          const properties = {
            [`key_${value}`]: { const: value },
            list: { type: "array", items: { type: "integer", minimum: 0, maximum: 9 }, maxItems: 3 },
          };
          return ask(
            server.openai,
            withSchema({ type: "object", properties, required: Object.keys(properties), additionalProperties: false }),
          );
        }),
      );
      for (const [i, { choices }] of answers.entries()) {
        expect(JSON.parse(choices[0]!.text)).toMatchObject({ [`key_${values[i]}`]: values[i] });
      }
    }
    // Computed prefixes and memory made ready for more are no schemas.
    const { active_memory_bytes, cache_memory_bytes } = (await server.health()).stats;
    return residentBytes() - active_memory_bytes - cache_memory_bytes;
  };
  const some = await run(150);
  // What one schema compiles to is half a megabyte and more.
  expect((await run(150)) - some).toBeLessThan(64 * 2 ** 20);
}, 120_000);

test("SIGTERM while a grammar is compiled: what runs is finished, and the process ends", async () => {
  const other = await startServer();
  const running = ask(other.openai, lengthy(300));
  const compiling = askWhole(other.openai, slow(9)).then(
    () => 200,
    (error: unknown) => (error instanceof APIError ? error.status : error),
  );
  await until(other, ({ active_requests }) => active_requests === 1);
  await Bun.sleep(400);
  const begun = performance.now();
  expect(await other.stop()).toBe(0);
  expect(performance.now() - begun).toBeLessThan(15_000);
  expect((await running).usage?.completion_tokens).toBe(300);
  // Refused as too slow, or because the server stops.
  expect([400, 503]).toContain((await compiling) as number);
  expect(other.log()).not.toContain(" error ");
});

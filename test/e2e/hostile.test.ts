/** Hostile requests: each is answered as documented, with no fault of the server's, and harms nobody else. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { say } from "./ask.ts";
import { Documented } from "./description.ts";
import { isIdle, type Served, startServer, until } from "./serve.ts";

let server: Served;
let documented: Documented;
let usual: unknown;
beforeAll(async () => {
  server = await startServer();
  documented = await Documented.read(server.url);
  usual = await answer();
});
afterAll(async () => {
  await until(server, isIdle);
  // Whoever comes after gets what those before got.
  expect(await answer()).toEqual(usual);
  expect(server.log()).not.toMatch(/ error /);
  await server.stop();
});

async function answer(): Promise<unknown> {
  const body = { messages: say("What is the capital of France?"), temperature: 0 };
  const response = await fetch(`${server.url}/v1/chat/completions`, { method: "POST", body: JSON.stringify(body) });
  return ((await response.json()) as { choices: unknown }).choices;
}

const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);

/** As JSON texts: some have no value that would be written so. */
const values = [
  '"\\ud800"', // half of a pair
  '"a\\udfffb"',
  '"\\u0000"',
  '""',
  `"${"x".repeat(20_000)}"`,
  '"__proto__"',
  '"constructor"',
  '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}',
  '{"type":"toString","length":-1,"then":"x"}',
  '{"\\ud800":"\\ud800"}',
  "123456789012345678901234567890",
  "9007199254740993",
  "1e308",
  "1e400",
  "5e-324",
  "-0",
  "[-1,4294967296,1e21]",
  "[[]]",
  "[null]",
  "{}",
  nested(90),
  nested(200),
  '{"type":"json_schema","json_schema":{"name":"x","schema":{"$ref":"#"}}}',
  '{"$ref":"#/$defs/__proto__"}',
  '"(a+)+$"',
  `{"0":${"1".repeat(400)}}`,
];

const short: Record<string, object> = {
  "/v1/chat/completions": { max_tokens: 2 },
  "/v1/completions": { max_tokens: 2 },
  "/v1/messages": { max_tokens: 2 },
  "/v1/responses": { max_output_tokens: 2 },
};

const send = (path: string, body: Bun.BodyInit, headers: Record<string, string> = { "content-type": "application/json" }) =>
  fetch(server.url + path, { method: "POST", headers, body });

test("hostile values in every property of every body", async () => {
  let count = 0;
  for (const { path, example, properties } of documented.bodies()) {
    for (const property of [...properties, "__proto__", "unknown"]) {
      const rest = JSON.stringify({ ...example, ...short[path], [property]: undefined }).slice(1);
      const requests = values.map(async (value) => {
        const response = await send(path, `{"${property}":${value}${rest === "}" ? "" : ","}${rest}`);
        const text = await documented.expectDescribed("post", path, response);
        if (response.status >= 500) throw new Error(`${path} ${property} ${value.slice(0, 100)}: ${text}`);
        // Whatever was sent, the answer does not grow with it.
        if (response.status === 400) expect(text.length, text).toBeLessThan(1000);
        count++;
      });
      await Promise.all(requests);
    }
  }
  expect(count).toBeGreaterThan(5000);
});

test("bodies that are no JSON objects, whatever they say they are", async () => {
  const bodies: [name: string, body: Bun.BodyInit, headers?: Record<string, string>][] = [
    ["empty", ""],
    ["null", "null"],
    ["a list", "[]"],
    ["cut", '{"model":'],
    ["not UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ["UTF-16", Buffer.from('{"model":"default"}', "utf16le")],
    ["two values", "{}{}"],
    ["NaN", '{"temperature":NaN}'],
    ["gzip", Bun.gzipSync("{}"), { "content-encoding": "gzip" }],
    ["a form", new URLSearchParams({ model: "default" })],
    ["XML", "<model>default</model>", { "content-type": "application/xml" }],
    ["too deep", `{"a":${nested(100_000)}}`],
    ["deep without an end", "[".repeat(500_000)],
  ];
  for (const { path } of documented.bodies()) {
    for (const [name, body, headers] of bodies) {
      const response = await send(path, body, headers);
      await documented.expectDescribed("post", path, response);
      expect({ path, name, status: response.status }).toEqual({ path, name, status: 400 });
    }
  }
});

test("any content type is read as JSON", async () => {
  for (const { path, example } of documented.bodies()) {
    const statuses = [
      "application/json",
      "text/plain",
      "application/xml",
      "multipart/form-data",
      "nonsense",
      "application/json; charset=utf-16",
    ];
    const responses = await Promise.all(statuses.map((type) => send(path, JSON.stringify(example), { "content-type": type })));
    for (const response of responses) await documented.expectDescribed("post", path, response);
    expect(new Set(responses.map(({ status }) => status)).size, path).toBe(1);
  }
});

test("uploads that are no uploads", async () => {
  const form = (parts: [string, string | Blob][]) => {
    const made = new FormData();
    for (const [name, value] of parts) made.append(name, value);
    return made;
  };
  const file = new File(["{}"], "\ud800\0../../x.jsonl");
  const bodies: [body: Bun.BodyInit, headers?: Record<string, string>][] = [
    ["", {}],
    ["{}", { "content-type": "application/json" }],
    ["x", { "content-type": "multipart/form-data" }],
    ["--b\r\n\r\n", { "content-type": "multipart/form-data; boundary=b" }],
    [form([["purpose", "batch"]])],
    [form([["file", file]])],
    [
      form([
        ["purpose", "__proto__"],
        ["file", file],
      ]),
    ],
    [
      form([
        ["purpose", "batch"],
        ["file", "a text"],
      ]),
    ],
    [
      form([
        ["__proto__", "x"],
        ["constructor", file],
      ]),
    ],
  ];
  for (const [body, headers] of bodies) {
    const response = await send("/v1/files", body, headers ?? {});
    await documented.expectDescribed("post", "/v1/files", response);
    expect(response.status).toBe(400);
  }
  const kept = await send(
    "/v1/files",
    form([
      ["purpose", "batch"],
      ["file", file],
      ["__proto__", "x"],
    ]),
    {},
  );
  expect(kept.status).toBe(200);
  await documented.expectDescribed("post", "/v1/files", kept);
});

test("hostile ids and queries", async () => {
  const ids = [
    "__proto__",
    "constructor",
    "%00",
    "%ff",
    "%ed%a0%80",
    "..%2f..%2fetc%2fpasswd",
    "%",
    "x".repeat(5000),
    "%F0%9F%A6%99",
    "a%20b%3F",
  ];
  const queries = [
    "limit=-1",
    "limit=1e9",
    "limit=99999999999999",
    "limit=",
    "limit[]=1",
    "__proto__=1",
    "after=%ff",
    "after=%00",
    "order=__proto__",
  ];
  for (const [path, methods] of Object.entries(documented.description.paths)) {
    for (const method of ["get", "delete", "post"]) {
      if (!methods[method] || methods[method].requestBody) continue;
      // A cache that is emptied has nothing hostile in it.
      const places = path.includes("{id}") ? ids.map((id) => path.replace("{id}", id)) : [path];
      for (const place of places) {
        for (const query of ["", ...(method === "get" ? queries : [])]) {
          const target = `${server.url}${place}?${query}`;
          const response = await fetch(target, { method: method.toUpperCase() });
          if (response.status >= 500) throw new Error(`${method} ${target}: ${await response.text()}`);
          await documented.expectDescribed(method, path, response);
        }
      }
    }
  }
});

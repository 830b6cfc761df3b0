/** Every example of the API's description works on the embedded model as it stands, and is answered as described. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import packageJson from "../../package.json" with { type: "json" };
import { say } from "./ask.ts";
import { type Description, Documented } from "./description.ts";
import { type Served, startServer } from "./serve.ts";

let server: Served;
let documented: Documented;
let description: Description;
/** What the paths with an id are tried with. */
const ids: Record<string, string> = {};

beforeAll(async () => {
  server = await startServer();
  documented = await Documented.read(server.url);
  description = documented.description;
  ids["/v1/models"] = "tiny-chat";
  ids["/v1/files"] = await upload(1);
  ids["/v1/batches"] = await begin(ids["/v1/files"]);
  ids["/v1/responses"] = ((await (await send("post", "/v1/responses", { input: "Hello!" })).json()) as { id: string }).id;
});
afterAll(() => server.stop());

const send = (method: string, path: string, body?: object) =>
  fetch(server.url + path, { method: method.toUpperCase(), ...(body && { body: JSON.stringify(body) }) });

async function upload(requests: number): Promise<string> {
  const form = new FormData();
  const line = { method: "POST", url: "/v1/chat/completions", body: { messages: say("Tell me a story."), ignore_eos: true } };
  const lines = Array.from({ length: requests }, (_, i) => JSON.stringify({ custom_id: `${i}`, ...line }));
  form.set("purpose", "batch");
  form.set("file", new File([lines.join("\n")], "in.jsonl"));
  const response = await fetch(`${server.url}/v1/files`, { method: "POST", body: form });
  await documented.expectDescribed("post", "/v1/files", response);
  const { data } = (await (await send("get", "/v1/files?limit=1")).json()) as { data: { id: string }[] };
  return data[0]!.id;
}

async function begin(file: string): Promise<string> {
  const body = { input_file_id: file, endpoint: "/v1/chat/completions", completion_window: "24h" };
  return ((await (await send("post", "/v1/batches", body)).json()) as { id: string }).id;
}

test("the description is of this version", () => {
  expect(description.openapi).toMatch(/^3\.1\./);
  expect(description.info.version).toBe(packageJson.version);
});

test("every example of a body", async () => {
  let count = 0;
  for (const [path, methods] of Object.entries(description.paths)) {
    const examples = methods.post?.requestBody?.content["application/json"]?.examples ?? {};
    for (const [name, { value }] of Object.entries(examples)) {
      count++;
      // A file's id is nobody's to know before.
      const body = path === "/v1/batches" ? { ...value, input_file_id: ids["/v1/files"] } : value;
      const response = await send("post", path, body);
      expect({ path, name, status: response.status }).toEqual({ path, name, status: 200 });
      if (!value.stream) await documented.expectDescribed("post", path, response);
      else expect(await response.text()).toContain("data: ");
    }
  }
  expect(count).toBeGreaterThan(15);
});

test("every path that is read", async () => {
  for (const [path, methods] of Object.entries(description.paths)) {
    if (!methods.get) continue;
    const id = ids[path.slice(0, path.indexOf("/{id}"))];
    const response = await send("get", path.replace("{id}", id ?? ""));
    expect({ path, status: response.status }).toEqual({ path, status: 200 });
    await documented.expectDescribed("get", path, response);
  }
});

describe("what remains", () => {
  test("a batch is cancelled", async () => {
    const id = await begin(await upload(200));
    const response = await send("post", `/v1/batches/${id}/cancel`);
    expect(response.status).toBe(200);
    await documented.expectDescribed("post", "/v1/batches/{id}/cancel", response);
  });

  test("a response that has ended is not: 400, as described", async () => {
    const response = await send("post", `/v1/responses/${ids["/v1/responses"]}/cancel`);
    expect(response.status).toBe(400);
    await documented.expectDescribed("post", "/v1/responses/{id}/cancel", response);
  });

  test("what can be deleted", async () => {
    let count = 0;
    for (const [path, methods] of Object.entries(description.paths)) {
      if (!methods.delete) continue;
      count++;
      const response = await send("delete", path.replace("{id}", ids[path.slice(0, path.indexOf("/{id}"))] ?? ""));
      expect({ path, status: response.status }).toEqual({ path, status: 200 });
      await documented.expectDescribed("delete", path, response);
    }
    expect(count).toBe(3);
  });
});
